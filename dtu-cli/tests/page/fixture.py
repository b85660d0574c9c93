"""A window on a gateway, made-up or real, with what the browser complained of."""

from urllib.parse import urlsplit

from mock import Gateway, serve

#: For what the browser does at once; long, as machines are slow.
PATIENCE = 20_000
HOSTS = {"127.0.0.1"}

WATCH = """
window.hacked = undefined;
window.longTasks = [];
new PerformanceObserver((list) => { for (const one of list.getEntries()) window.longTasks.push(one.duration); })
    .observe({ type: "longtask", buffered: true });
"""


class Window:
    """A browser context of its own on `url`, and what the browser complained of; `expected` are parts of complaints that may come."""

    def __init__(self, browser, url, width=1280, height=800, scheme="light"):
        self.url = url
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
        self.page.goto(self.url + path)
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
        assert hacked is None, f"a hostile text ran: {hacked}"
        unexpected = [error for error in self.errors if not any(part in error for part in self.expected)]
        assert not unexpected, f"the browser complains: {unexpected}"


class Fixture(Window):
    """A window on a made-up gateway."""

    def __init__(self, browser, width=1280, height=800, scheme="light", **options):
        self.gateway = Gateway(**options)
        self.server = serve(self.gateway)
        super().__init__(browser, self.server.url, width, height, scheme)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        super().close()


def loaded(fixture, devices):
    """Waits until the page has all rows."""
    fixture.wait("(n) => document.querySelector('#count-all').textContent.replace(/\\D/g, '') === String(n)", devices)
