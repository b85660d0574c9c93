"""The fleet: rows, orders, keys, the token, and what is told when something is wrong."""

from fixture import Fixture, loaded

#: A task that the tests take for a stall, in milliseconds. The bench tells what is usual.
STALL = 1000


def ten_thousand_devices_load_and_updates_arrive(browser):
    fixture = Fixture(browser, devices=10_000, changed=2_000)
    page = fixture.open()
    loaded(fixture, 10_000)
    assert page.locator("#grid").get_attribute("aria-rowcount") == "10001"
    assert page.locator("#rows .row").count() < 100, "rows that nobody sees are in the document"
    before = page.evaluate("[...document.querySelectorAll('#rows .c-frames')].map((cell) => cell.textContent).join()")
    fixture.wait("(before) => [...document.querySelectorAll('#rows .c-frames')].map((cell) => cell.textContent).join() !== before", before)
    fixture.wait("document.querySelector('#rate').textContent !== '–'")
    name = "well-1999"
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    fixture.wait("[...document.querySelectorAll('#rows .row:not([hidden]) .c-id')].some((cell) => cell.textContent === 'well-2000')")
    fixture.gateway.remove(name)
    loaded(fixture, 9_999)
    assert name not in fixture.ids()
    longest = max(page.evaluate("window.longTasks"), default=0)
    assert longest < STALL, f"a task took {longest} ms"
    return fixture


def a_device_that_comes_and_goes_is_seen(browser):
    fixture = Fixture(browser, devices=0, changed=50)
    page = fixture.open()
    page.wait_for_selector("text=No device yet")
    assert "dtu sim 127.0.0.1:55125" in fixture.text("#nothing")
    fixture.gateway.add("first", state="connected", rtt_ms=12.3, errors=4, takeovers=2)
    fixture.wait("document.querySelector('#rows .c-id')?.textContent === 'first'")
    assert fixture.text("#rows .c-errors") == "4" and fixture.text("#rows .c-takeovers") == "2"
    assert fixture.text("#rows .c-state") == "connected"
    fixture.gateway.rows["first"].update(state="disconnected", rtt_ms=None)
    fixture.wait("document.querySelector('#rows .c-state').innerText === 'away'")
    assert [fixture.text(f"#count-{state}") for state in ("all", "connected", "disconnected")] == ["1", "0", "1"]
    fixture.gateway.remove("first")
    page.wait_for_selector("text=No device yet")
    return fixture


def the_table_is_filtered_and_sorted(browser):
    fixture = Fixture(browser, devices=500, changed=0)
    page = fixture.open()
    loaded(fixture, 500)
    page.keyboard.press("/")
    page.keyboard.type("METER-00")
    fixture.wait("document.querySelector('#shown').textContent === '99 of 500'")
    assert all("meter-00" in name for name in fixture.ids())
    page.keyboard.press("Escape")
    assert page.input_value("#search") == ""
    away = [name for name, row in fixture.gateway.rows.items() if row["state"] == "disconnected"]
    page.locator("#figures label").nth(2).click()
    fixture.wait("(n) => document.querySelector('#grid').getAttribute('aria-rowcount') === String(n + 1)", len(away))
    assert sorted(fixture.ids()) == sorted(away)
    page.fill("#search", "nobody has this")
    page.click("text=Show all devices")
    fixture.wait("document.querySelector('#grid').getAttribute('aria-rowcount') === '501'")
    rows = fixture.gateway.rows.values()
    for column in ("frames", "errors", "takeovers", "connections", "rtt_ms"):
        page.click(f".head .c-{column} button")
        most = max(row[column] or 0 for row in rows)
        first = fixture.ids()[0]
        assert (fixture.gateway.rows[first][column] or 0) == most, (column, first)
        assert page.get_attribute(f".head .c-{column}", "aria-sort") == "descending"
        page.click(f".head .c-{column} button")
        least = min(row[column] for row in rows if row[column] is not None)
        assert fixture.gateway.rows[fixture.ids()[0]][column] == least, column
    page.click(".head .c-id button")
    assert fixture.ids()[:3] == ["boiler-0001", "boiler-0002", "boiler-0003"]
    for name in ("unit-10", "unit-9", "Unit-8"):
        fixture.gateway.add(name)
    fixture.gateway.changed = 600
    loaded(fixture, 503)
    page.fill("#search", "unit-")
    fixture.wait("document.querySelector('#shown').textContent === '3 of 503'")
    assert fixture.ids() == ["Unit-8", "unit-9", "unit-10"], "numbers in ids do not count"
    return fixture


def an_order_by_values_that_change_is_held_under_the_pointer(browser):
    fixture = Fixture(browser, devices=3, changed=50)
    page = fixture.open()
    loaded(fixture, 3)
    page.click(".head .c-frames button")
    page.hover("#rows .row >> nth=0")
    before = fixture.ids()
    last = fixture.gateway.rows[before[-1]]
    last.update(state="connected", rtt_ms=20.0, frames=10**9)
    fixture.wait("[...document.querySelectorAll('#rows .c-frames')].some((cell) => cell.textContent.length > 12)")
    page.wait_for_timeout(2500)
    assert fixture.ids() == before, "the row went away under the pointer"
    page.hover("#search")
    fixture.wait("(id) => document.querySelector('#rows [aria-rowindex=\"2\"] .c-id').textContent === id", before[-1])
    return fixture


def keys_move_through_the_table_and_open_a_device(browser):
    fixture = Fixture(browser, devices=1000, changed=0)
    page = fixture.open()
    loaded(fixture, 1000)
    page.focus("#grid")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    active = "document.getElementById(document.querySelector('#grid').getAttribute('aria-activedescendant'))"
    assert page.evaluate(f"{active}.querySelector('.c-id').textContent") == "boiler-0002"
    page.keyboard.press("End")
    fixture.wait(f"{active}.querySelector('.c-id').textContent === 'well-0200'")
    box = page.evaluate(f"(({{ top, bottom }}) => [top, bottom, innerHeight])({active}.getBoundingClientRect())")
    assert 0 <= box[0] and box[1] <= box[2], box
    page.keyboard.press("PageUp")
    page.keyboard.press("Home")
    fixture.wait(f"{active}.querySelector('.c-id').textContent === 'boiler-0001'")
    head = page.evaluate("document.querySelector('.head').getBoundingClientRect().bottom")
    assert page.evaluate(f"{active}.getBoundingClientRect().top") >= head - 1
    page.keyboard.press("Enter")
    page.wait_for_selector("#device-title:has-text('boiler-0001')")
    page.keyboard.press("Escape")
    page.wait_for_selector("#fleet:not([hidden])")
    return fixture


def a_token_is_asked_for_kept_in_the_tab_and_refused_when_wrong(browser):
    fixture = Fixture(browser, devices=10, token="right")
    fixture.expected = ["status of 401"]
    page = fixture.open("#/device/meter-0002")
    page.wait_for_selector("#login:not([hidden])")
    assert fixture.text("#login-said") == ""
    fixture.gateway.refusal = "this server answers to localhost only"
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=did not take this token")
    assert "answers to localhost only" in fixture.text("#login-said")
    assert page.evaluate("sessionStorage.length") == 0
    page.fill("#token", "pass\u00e9")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=letters, digits and signs only")
    page.fill("#token", "right")
    page.keyboard.press("Enter")
    page.wait_for_selector("#device-title:has-text('meter-0002')")
    assert page.evaluate("localStorage.length") == 0 and "right" not in page.url and page.evaluate("document.cookie") == ""
    page.reload()
    page.wait_for_selector("#device-title:has-text('meter-0002')")
    page.click("text=← The fleet")
    loaded(fixture, 10)
    fixture.gateway.token = "another"
    fixture.gateway.drop_streams()
    page.wait_for_selector("#login:not([hidden])")
    page.fill("#token", "another")
    page.keyboard.press("Enter")
    loaded(fixture, 10)
    page.click("text=Forget token")
    page.wait_for_selector("#login:not([hidden])")
    assert page.evaluate("sessionStorage.length") == 0
    return fixture


def a_lost_stream_is_told_and_comes_back_with_what_changed(browser):
    fixture = Fixture(browser, devices=1200, changed=100)
    fixture.expected = ["status of 503"]
    page = fixture.open()
    loaded(fixture, 1200)
    fixture.gateway.drop_streams(refuse=True)
    page.wait_for_selector("#banners >> text=Trying again")
    assert fixture.text("#live") == "not live"
    # Gone while nobody listened: the list that a stream begins with is without it.
    with fixture.gateway.lock:
        del fixture.gateway.rows["meter-0002"]
    fixture.gateway.add("newcomer")
    fixture.gateway.add("newcomer-2")
    page.wait_for_selector("text=Trying again in 3")
    asked = fixture.gateway.streams_asked
    page.click("text=Try now")
    page.wait_for_selector("text=Trying again in")
    assert fixture.gateway.streams_asked > asked, "the button does nothing"
    fixture.gateway.refuse_streams = False
    fixture.wait("document.querySelector('#live').textContent === 'live'")
    loaded(fixture, 1201)
    page.fill("#search", "meter-0002")
    page.wait_for_selector("text=No device fits")
    assert page.locator("[data-banner=stream]").count() == 0
    return fixture


def a_stream_that_begins_anew_leaves_out_what_is_gone(browser):
    fixture = Fixture(browser, devices=1200, changed=0)
    fixture.open()
    loaded(fixture, 1200)
    with fixture.gateway.lock:
        del fixture.gateway.rows["meter-0002"]
    fixture.gateway.resets += 1
    loaded(fixture, 1199)
    return fixture


def a_stream_that_falls_silent_is_opened_again(browser):
    fixture = Fixture(browser, devices=10)
    fixture.page.clock.install()
    page = fixture.open()
    loaded(fixture, 10)
    fixture.gateway.is_hung = True
    page.wait_for_timeout(1500)
    asked = fixture.gateway.streams_asked
    page.clock.fast_forward(30_000)
    assert fixture.text("#live") == "live"
    page.clock.fast_forward(11_000)
    page.wait_for_selector("#live:text-is('not live')")
    fixture.gateway.is_hung = False
    page.clock.fast_forward(16_000)
    page.wait_for_selector("#live:text-is('live')")
    assert fixture.gateway.streams_asked > asked
    return fixture


def a_sink_that_is_down_and_a_full_queue_are_told(browser):
    fixture = Fixture(browser, devices=10)
    page = fixture.open()
    loaded(fixture, 10)
    assert page.locator(".banner").count() == 0
    fixture.gateway.sinks[1].update(up=False, breaker_open=True, error="no responders")
    page.wait_for_selector("#banners >> text=The sink nats is down.")
    assert "no responders" in fixture.text("#banners") and "breaker is open" in fixture.text("#banners")
    assert "down" in fixture.text("#sinks [data-state=down]")
    fixture.gateway.sinks[1].update(up=True, breaker_open=False)
    fixture.gateway.queue["records"] = 4000
    page.wait_for_selector("#banners >> text=nearly full")
    fixture.gateway.queue["records"] = 0
    fixture.gateway.draining = True
    page.wait_for_selector("#banners >> text=The gateway is stopping.")
    fixture.gateway.draining = False
    fixture.wait("document.querySelectorAll('.banner').length === 0")
    # A gateway that does not list its sinks says why it is not ready.
    fixture.gateway.counters_extra = {"sinks": None, "ready": False, "reasons": ["sink mqtt is down: no route", "the disk is slow"]}
    page.wait_for_selector("#banners >> text=The sink mqtt is down. It says: no route.")
    page.wait_for_selector("#banners >> text=The gateway is not ready. It says: the disk is slow.")
    assert fixture.text("#sinks").split() == ["mqtt", "down"]
    fixture.gateway.counters_extra = {"sinks": None}
    fixture.wait("document.querySelector('#sinks').innerText.replace(/\\s+/g, ' ').trim() === 'sinks up'")
    return fixture
