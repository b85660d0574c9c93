"""Long tasks and processor time of the page with 10 000 devices."""

import time

from fixture import Fixture, loaded


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
