"""What may not be seen or done: hostile texts, a phone that scrolls sideways, text without contrast."""

from urllib.parse import quote

from fixture import Fixture, loaded
from mock import HOSTILE


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
        page.goto(f"{fixture.url}#/device/{quote(name, safe='')}")
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
        page.goto(f"{fixture.url}#/device/{name}")
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
        page.goto(f"{fixture.url}#/device/meter-0002")
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
