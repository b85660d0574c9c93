#!/usr/bin/env python3
"""The page in headless Chromium against a made-up gateway: `python3 dtu-cli/tests/page/run.py [NAME…]`.

`bench` as a name measures long tasks with 10 000 devices; it is not among the tests. Each test has a gateway and a browser context of
its own. After each, besides what it asserts: nothing hostile ran, no error is in the console, no other host was asked.
"""

import sys
import time
import traceback
from urllib.parse import quote, urlsplit

from browser import chromium
from mock import HOSTILE, Gateway, serve

#: For what the browser does at once; long, as machines are slow.
PATIENCE = 20_000
#: A task that the tests take for a stall, in milliseconds. The bench tells what is usual.
STALL = 1000
HOSTS = {"127.0.0.1"}

WATCH = """
window.hacked = undefined;
window.longTasks = [];
new PerformanceObserver((list) => { for (const one of list.getEntries()) window.longTasks.push(one.duration); })
    .observe({ type: "longtask", buffered: true });
"""


class Fixture:
    """A gateway, a page on it, and what the browser complained of."""

    def __init__(self, browser, width=1280, height=800, scheme="light", **options):
        self.gateway = Gateway(**options)
        self.server = serve(self.gateway)
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.context.set_default_timeout(PATIENCE)
        self.context.add_init_script(WATCH)
        self.page = self.context.new_page()
        self.errors = []
        self.expected = []
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.asked(request.url))
        self.page.on("dialog", lambda dialog: (self.errors.append(f"dialog {dialog.message}"), dialog.dismiss()))

    def asked(self, url):
        if urlsplit(url).hostname not in HOSTS:
            self.errors.append(f"another host was asked: {url}")

    def open(self, path=""):
        self.page.goto(self.server.url + path)
        return self.page

    def wait(self, what, *arguments):
        """Waits until the expression is true in the page."""
        function = what if what.startswith("(") and "=>" in what[:20] else f"() => ({what})"
        return self.page.wait_for_function(function, arg=arguments[0] if arguments else None, polling=50)

    def text(self, selector):
        return self.page.locator(selector).first.inner_text()

    def ids(self):
        """The ids of the rows in the document, from above, once what is due is drawn."""
        self.page.evaluate("new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")
        return self.page.evaluate("""[...document.querySelectorAll("#rows .row:not([hidden])")]
            .sort((a, b) => a.getAttribute("aria-rowindex") - b.getAttribute("aria-rowindex"))
            .map((row) => row.querySelector(".c-id").textContent)""")

    def close(self):
        hacked = self.page.evaluate("window.hacked")
        self.context.close()
        self.server.shutdown()
        self.server.server_close()
        assert hacked is None, f"a hostile text ran: {hacked}"
        unexpected = [error for error in self.errors if not any(part in error for part in self.expected)]
        assert not unexpected, f"the browser complains: {unexpected}"


def loaded(fixture, devices):
    fixture.wait("(n) => document.querySelector('#count-all').textContent.replace(/\\D/g, '') === String(n)", devices)


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
    fixture.gateway.remove("first")
    page.wait_for_selector("text=No device yet")
    return fixture


def hostile_ids_are_text_and_what_cannot_be_seen_is_spelled_out(browser):
    fixture = Fixture(browser, devices=3, hostile=True)
    page = fixture.open()
    loaded(fixture, 3 + len(HOSTILE))
    ids = fixture.ids()
    assert HOSTILE[0] in ids and HOSTILE[1] in ids and "__proto__" in ids, ids
    for spelled in ("meter-U+202Egnp.exe", "line\\nbreak\\rand\\ttab", "nul\\0escU+001B[31m", "zeroU+200BwidthU+2066isolate", "U+0020blank at both endsU+0020"):
        assert spelled in ids, spelled
    hidden = page.evaluate("document.body.innerText.match(/[\\u202a-\\u202e\\u2066-\\u2069\\u200b\\u001b\\0]/)")
    assert hidden is None, hidden
    assert page.locator("#rows img, #rows script").count() == 0
    for name in HOSTILE:
        page.goto(f"{fixture.server.url}#/device/{quote(name, safe='')}")
        page.wait_for_selector("#device-title:not(:empty)")
        fixture.wait("(n) => document.querySelectorAll('#device .frame').length === n", 8)
        spelled = page.locator("#device-title").evaluate("(title) => title.textContent.length")
        assert spelled >= len(name), name
        page.click("text=Close session…")
        page.click("text=Cancel")
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, f"{wide} px too wide"
    return fixture


def hostile_texts_of_the_gateway_are_text(browser):
    fixture = Fixture(browser, devices=2)
    evil = "<img src=x onerror=window.hacked=1>\u202e"
    fixture.gateway.counters_extra = {"id": evil, "version": evil}
    fixture.gateway.sinks[0].update(name=evil, up=False, error=evil)
    fixture.gateway.add("odd", kind=evil, peer=evil)
    fixture.gateway.rows["odd"]["state"] = "connected"
    fixture.gateway.timeline = lambda row: [{"at": 1, "event": evil, "text": evil}, {"at": None, "event": None}]
    fixture.gateway.frames = lambda row: [
        {"at": 1, "direction": evil, "channel": evil, "seq": evil, "hex": "0102zz", "length": 3, "fields": [
            {"from": 0, "to": 99, "name": evil, "text": evil}, {"from": -1, "to": 1, "name": "x", "text": "y"}, {"from": 1, "to": 1}, None, {"from": "0", "to": 2}]},
        {},
    ]
    fixture.gateway.answer = lambda name, body: (502, {"error": {"code": evil, "text": evil}})
    page = fixture.open("#/device/odd")
    fixture.expected = ["status of 502"]
    page.wait_for_selector(".frame .fields button")
    page.wait_for_selector("#banners >> text=is down")
    page.click("text=Send")
    page.wait_for_selector(".reply[data-kind=error]")
    assert page.locator("img").count() == 0
    assert "U+202E" in fixture.text("#gateway-id") and "U+202E" in fixture.text(".timeline")
    assert page.locator(".frame .fields button").count() == 1
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


def a_deep_link_shows_the_device_and_one_without_a_device_says_so(browser):
    fixture = Fixture(browser, devices=10, hostile=True)
    name = "slash/../../etc?x=1#y%41"
    page = fixture.open(f"#/device/{quote(name, safe='')}")
    page.wait_for_selector("#device-title")
    assert fixture.text("#device-title") == name
    page.wait_for_selector(".timeline >> text=no byte for 45 s")
    fixture.expected = ["status of 404"]
    page.goto(fixture.server.url + "#/device/nobody%")
    page.wait_for_selector("text=No such device")
    page.goto(fixture.server.url + "#/device/..")
    page.wait_for_selector("text=cannot stand in an address")
    page.click("text=← The fleet")
    loaded(fixture, 10 + len(HOSTILE))
    return fixture


def fields_light_up_in_bytes_and_list(browser):
    fixture = Fixture(browser, devices=10, changed=0)
    page = fixture.open("#/device/pump-0001")
    frame = page.locator(".frame").first
    frame.wait_for()
    assert "DATA" in frame.inner_text()
    button = frame.locator(".fields button").nth(3)
    button.hover()
    assert frame.locator(".run.lit").count() >= 2
    page.mouse.move(0, 0)
    assert frame.locator(".lit").count() == 0
    button.focus()
    assert frame.locator(".run.lit").count() >= 2
    frame.locator(".hex-bytes .run").first.click()
    assert frame.locator(".fields button").first.get_attribute("aria-pressed") == "true"
    return fixture


def requests_are_sent_and_their_replies_read(browser):
    fixture = Fixture(browser, devices=10, changed=0)
    page = fixture.open("#/device/meter-0001")
    page.fill("[name=address]", "17")
    page.fill("[name=start]", "0x6B")
    page.fill("[name=amount]", "3")
    # MODBUS over Serial Line: the example of function 3, with its CRC.
    assert fixture.text(".preview") == "11 03 00 6b 00 03 76 87"
    page.click("button:text-is('Send')")
    page.wait_for_selector(".reply[data-kind=good]")
    assert fixture.gateway.calls[-1] == ("meter-0001", "request", {"hex": "1103006b00037687", "timeout_ms": 5000}), fixture.gateway.calls
    reply = fixture.text(".reply")
    assert "Replied" in reply and "87.4" in reply and "107 2300" in reply and "109 2314" in reply, reply
    page.fill("[name=start]", "5000")
    page.click("button:text-is('Send')")
    page.wait_for_selector(".reply[data-kind=warn] >> text=illegal data address")
    page.fill("[name=amount]", "126")
    page.click("button:text-is('Send')")
    assert "from 1 to 125" in fixture.text(".request .wrong")
    page.select_option("[name=function]", "6")
    page.fill("[name=amount]", "7")
    calls = len(fixture.gateway.calls)
    page.click("button:text-is('Write…')")
    page.click("#confirm >> text=Cancel")
    assert len(fixture.gateway.calls) == calls, "it was written without a yes"
    page.click("button:text-is('Write…')")
    page.click("#confirm-yes")
    page.wait_for_selector(".reply:first-child[data-kind=good]:has-text('11 06 13 88 00 07')")
    assert fixture.gateway.calls[-1][2]["hex"].startswith("110613880007")
    page.check("[value=hex]")
    fixture.expected = ["status of 504", "status of 429", "status of 400"]
    for text, wrong in (("", "no bytes"), ("0g", "“g” is no hex digit"), ("012", "no whole bytes")):
        page.fill("[name=hex]", text)
        page.click("button:text-is('Send')")
        assert wrong in fixture.text(".request .wrong"), wrong
    page.fill("[name=hex]", "ee 00")
    page.check("[name=crc]")
    page.click("button:text-is('Send')")
    page.wait_for_selector(".reply[data-kind=error] >> text=did not answer in time")
    assert fixture.gateway.calls[-1][2] == {"hex": "ee00", "crc": True, "timeout_ms": 5000}
    page.fill("[name=hex]", "ef")
    page.click("button:text-is('Send')")
    page.wait_for_selector(".reply[data-kind=error] >> text=queue of this line is full")
    page.fill("[name=timeout]", "0")
    page.click("button:text-is('Send')")
    assert "timeout" in fixture.text(".request .wrong")
    return fixture


def native_devices_have_channels(browser):
    fixture = Fixture(browser, devices=10, changed=0)
    page = fixture.open("#/device/pump-0001")
    page.fill("[name=channel]", "3")
    page.click("button:text-is('Send')")
    page.wait_for_selector(".reply[data-kind=good]")
    assert fixture.gateway.calls[-1][2]["channel"] == 3
    return fixture


def closing_asks_first_and_says_what_came_of_it(browser):
    fixture = Fixture(browser, devices=10, changed=0)
    page = fixture.open("#/device/meter-0002")
    page.click("text=Close session…")
    page.click("#confirm >> text=Cancel")
    assert fixture.gateway.calls == []
    page.click("text=Close session…")
    page.fill("#confirm input", "  new firmware ")
    page.click("#confirm-yes")
    page.wait_for_selector("text=The session is closed.")
    assert fixture.gateway.calls == [("meter-0002", "close", {"reason": "new firmware"})]
    page.wait_for_selector("#device .state:has-text('closed')")
    assert page.is_disabled("text=Close session…")
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
    page.fill("#token", "rigth\u00e9")
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
    return fixture


def a_phone_scrolls_one_way_only(browser):
    fixture = Fixture(browser, width=360, height=740, devices=200, hostile=True)
    page = fixture.open()
    loaded(fixture, 200 + len(HOSTILE))
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    height = page.evaluate("document.querySelector('#rows .row').getBoundingClientRect().height")
    assert height > 60, "rows are no cards"
    page.select_option("#sort", "frames")
    most = max(fixture.gateway.rows.values(), key=lambda row: row["frames"])
    assert most["id"] in fixture.ids()[:2]
    fixture.gateway.sinks[1].update(up=False, error="x" * 200)
    page.wait_for_selector(".banner")
    assert page.evaluate(fits)
    for name in ("meter-0002", "pump-0001", "W" * 64):
        page.goto(f"{fixture.server.url}#/device/{name}")
        page.wait_for_selector(".frame")
        page.click("button:text-is('Send')")
        page.wait_for_selector(".reply[data-kind=good]")
        assert page.evaluate(fits), name
        cut = page.evaluate("[...document.querySelectorAll('.hex')].some((hex) => hex.scrollWidth > hex.clientWidth)")
        assert not cut, f"hex of {name} is cut off"
    return fixture


def texts_can_be_read_in_light_and_dark(browser):
    """Contrast of AA, 4.5 to 1, for every text on what is behind it."""
    for scheme in ("light", "dark"):
        fixture = Fixture(browser, devices=60, hostile=True, scheme=scheme)
        fixture.gateway.sinks[1].update(up=False, error="no responders")
        page = fixture.open()
        loaded(fixture, 60 + len(HOSTILE))
        page.wait_for_selector(".banner")
        poor = page.evaluate(CONTRAST)
        page.goto(f"{fixture.server.url}#/device/meter-0002")
        page.wait_for_selector(".frame")
        page.click("button:text-is('Send')")
        page.wait_for_selector(".reply[data-kind=good]")
        poor += page.evaluate(CONTRAST)
        assert not poor, f"{scheme}: {poor}"
        if scheme == "light":
            fixture.close()
    return fixture


CONTRAST = """(() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
    const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const poor = new Set();
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const text = walk.currentNode.data.trim();
        const element = walk.currentNode.parentElement;
        if (!text || !element.checkVisibility() || element.closest(":disabled")) continue;
        let behind = element;
        while (behind && rgba(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
        const [a, b] = [light(rgba(getComputedStyle(element).color)), light(rgba(getComputedStyle(behind ?? document.documentElement).backgroundColor))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) poor.add(`${element.tagName}.${element.className}: ${ratio.toFixed(2)}`);
    }
    return [...poor];
})()"""


def bench(browser):
    """Long tasks over 20 s with 10 000 devices, 2 000 rows changed each second: idle, sorted by frames, and while scrolling."""
    fixture = Fixture(browser, devices=10_000, changed=2_000)
    page = fixture.open()
    began = time.monotonic()
    loaded(fixture, 10_000)
    print(f"  loaded after {time.monotonic() - began:.1f} s")
    page.wait_for_timeout(2000)
    session = fixture.context.new_cdp_session(page)
    session.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
    session.send("Performance.enable")

    def processor():
        """Processor time of the page's main thread, in milliseconds; other work on the machine does not count."""
        return {one["name"]: one["value"] * 1000 for one in session.send("Performance.getMetrics")["metrics"]}

    def phase(name, seconds=20, act=None):
        page.evaluate("""window.longTasks.length = 0; window.gaps = []; window.isOn = true; let last = performance.now();
            (function frame(now) { window.gaps.push(now - last); last = now; if (window.isOn) requestAnimationFrame(frame); })(last)""")
        before = processor()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if act:
                act()
            else:
                page.wait_for_timeout(500)
        tasks, gaps = page.evaluate("window.isOn = false, [window.longTasks, window.gaps]")
        gaps.sort()
        used = {name: (value - before[name]) / len(gaps) for name, value in processor().items()}
        print(f"  {name}: {len(tasks)} tasks over 50 ms in {seconds} s, longest {max(tasks, default=0):.0f} ms; "
              f"frames: median {gaps[len(gaps) // 2]:.1f} ms, 99 % within {gaps[int(len(gaps) * 0.99)]:.1f} ms, longest {gaps[-1]:.0f} ms; "
              f"processor a frame: {used['TaskDuration']:.2f} ms, of it script {used['ScriptDuration']:.2f}, style {used['RecalcStyleDuration']:.2f}, layout {used['LayoutDuration']:.2f}")

    print(f"  while loading: {page.evaluate('window.longTasks.map(Math.round)')} ms")
    phase("by id")
    page.click(".head .c-frames button")
    page.mouse.move(0, 0)
    phase("by frames, put in order again every 2 s")
    page.mouse.move(640, 500)
    phase("scrolling", act=lambda: page.mouse.wheel(0, 900))
    return fixture


TESTS = [
    ten_thousand_devices_load_and_updates_arrive,
    a_device_that_comes_and_goes_is_seen,
    hostile_ids_are_text_and_what_cannot_be_seen_is_spelled_out,
    hostile_texts_of_the_gateway_are_text,
    the_table_is_filtered_and_sorted,
    keys_move_through_the_table_and_open_a_device,
    a_deep_link_shows_the_device_and_one_without_a_device_says_so,
    fields_light_up_in_bytes_and_list,
    requests_are_sent_and_their_replies_read,
    native_devices_have_channels,
    closing_asks_first_and_says_what_came_of_it,
    a_token_is_asked_for_kept_in_the_tab_and_refused_when_wrong,
    a_lost_stream_is_told_and_comes_back_with_what_changed,
    a_sink_that_is_down_and_a_full_queue_are_told,
    a_phone_scrolls_one_way_only,
    texts_can_be_read_in_light_and_dark,
]


def main():
    wanted = sys.argv[1:]
    tests = [bench] if wanted == ["bench"] else [test for test in TESTS if not wanted or any(part in test.__name__ for part in wanted)]
    failed = []
    with chromium() as browser:
        for test in tests:
            began = time.monotonic()
            try:
                test(browser).close()
                print(f"ok {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception:
                failed.append(test.__name__)
                print(f"FAILED {test.__name__}\n{traceback.format_exc()}", flush=True)
    print(f"page: {len(tests) - len(failed)} of {len(tests)} passed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
