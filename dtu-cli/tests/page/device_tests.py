"""One device: its frames, requests to it, and its end."""

from urllib.parse import quote

from fixture import Fixture, loaded
from mock import HOSTILE


def a_deep_link_shows_the_device_and_one_without_a_device_says_so(browser):
    fixture = Fixture(browser, devices=10, hostile=True)
    name = "slash/../../etc?x=1#y%41"
    page = fixture.open(f"#/device/{quote(name, safe='')}")
    page.wait_for_selector("#device-title")
    assert fixture.text("#device-title") == name
    page.wait_for_selector(".timeline >> text=no byte for 45 s")
    fixture.expected = ["status of 404"]
    page.goto(fixture.url + "#/device/nobody%")
    page.wait_for_selector("text=No such device")
    page.goto(fixture.url + "#/device/..")
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


def a_reply_that_comes_late_has_nobody_look_at_a_device_that_was_left(browser):
    fixture = Fixture(browser, devices=10, changed=0)
    page = fixture.open("#/device/meter-0001")
    page.check("[value=hex]")
    page.fill("[name=hex]", "dd")
    fixture.expected = ["status of 504"]
    with page.expect_response(lambda answer: answer.url.endswith("/request")):
        page.click("button:text-is('Send')")
        page.click("text=← The fleet")
        page.wait_for_selector("#fleet:not([hidden])")
        looks = len(fixture.gateway.looks)
        fixture.gateway.may_answer.set()
    page.wait_for_timeout(300)
    assert fixture.gateway.looks[looks:] == []
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
    fixture = Fixture(browser, devices=10, changed=50)
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
    fixture.expected = ["status of 404"]
    fixture.gateway.remove("meter-0002")
    page.wait_for_selector("text=no session of this device any more")
    fixture.gateway.add("meter-0002", state="connected")
    fixture.wait("document.querySelector('#device .state b').textContent === 'connected'")
    assert not page.is_visible("text=no session of this device any more")
    return fixture
