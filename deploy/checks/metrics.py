#!/usr/bin/env python3
"""Holds code, docs/metrics.md, alert rules and dashboard against each other.

- Every metric that the Rust sources register is in the table with its type and labels, and the other way round.
- Every metric, label and value of a label in a rule, its test and the dashboard is in the table, or is recorded by a rule.
- `/metrics` says of every metric of the gateway what it is.
- Every alert has a severity, words, a heading in docs/runbook.md, and tests in which it fires and in which it does not.
"""

import json
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SOURCES = [path for crate in ("dtu-net", "dtu-cli") for path in sorted((ROOT / crate / "src").rglob("*.rs"))]
TABLE = ROOT / "docs" / "metrics.md"
RUNBOOK = ROOT / "docs" / "runbook.md"
RULES = ROOT / "deploy" / "prometheus" / "dtu.rules.yml"
TESTS = ROOT / "deploy" / "prometheus" / "dtu.rules.test.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dtu.json"

# A place that registers what it is given, and how the names are given to it.
GIVEN = {"dtu-net/src/driver/share.rs": re.compile(r'Share::new\(\s*"(dtu_\w+)",\s*"(dtu_\w+)"')}

# What Prometheus itself adds to a series.
TARGET_LABELS = {"job", "instance", "le"}
FOREIGN = {"up"}
SEVERITIES = {"P0", "P1", "P2"}

# name -> what its labels can be, as far as the table tells.
VALUES = {}
# Labels of which the table does not tell the values.
FREE = TARGET_LABELS | {"sink", "version", "route", "status"}

wrong = []


def complain(text):
    wrong.append(text)


def arguments(text, start):
    """What stands between the parenthesis at `start` and the one that closes it."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return text[start + 1 : at]
    sys.exit("a macro without an end")


def registered():
    """name -> (type, labels) of what the sources register, by a literal or by a constant."""
    texts = {path: path.read_text() for path in SOURCES}
    constants = {}
    for text in texts.values():
        constants |= dict(re.findall(r'const (\w+): &(?:\'static )?str = "(dtu_\w+)"', text))
    found = {
        name: ("gauge", set())
        for given in GIVEN.values()
        for text in texts.values()
        for names in given.findall(text)
        for name in names
    }
    for path, text in texts.items():
        if str(path.relative_to(ROOT)) in GIVEN:
            continue
        # What a test registers is not what the gateway has.
        text = re.split(r"#\[cfg\(test\)\]\nmod \w+ \{", text)[0]
        for macro in re.finditer(r"\b(counter|gauge|histogram)!\s*\(", text):
            inside = arguments(text, macro.end() - 1)
            first = re.match(r'\s*(?:"(\w+)"|(?:\w+::)*([A-Z_0-9]+)\b)', inside)
            name = first and (first[1] or constants.get(first[2]))
            where = f"{path.relative_to(ROOT)}:{text[: macro.start()].count(chr(10)) + 1}"
            if not name:
                complain(f"{where}: the name of a metric is neither a literal nor a constant")
                continue
            labels = set(re.findall(r'"(\w+)"\s*=>', inside))
            kind, before = found.setdefault(name, (macro[1], labels))
            if kind != macro[1] or before != labels:
                complain(f"{where}: {name} was {kind} {sorted(before)} elsewhere, and is {macro[1]} {sorted(labels)} here")
    return found


def described(rows):
    """What `/metrics` says of a metric before its series."""
    text = (ROOT / "dtu-cli" / "src" / "http" / "metrics.rs").read_text()
    found = re.findall(r'\(\s*(Counter|Gauge|Histogram),\s*"(dtu_\w+)"', text)
    for kind, name in found:
        if rows.get(name, ("",))[0] != kind.lower():
            complain(f"http/metrics.rs: describes {name} as a {kind}, the table as a {rows.get(name, ('nothing',))[0]}")
    for name in rows.keys() - {name for _, name in found}:
        complain(f"http/metrics.rs: does not say what {name} is")


def table():
    rows = {}
    for line in TABLE.read_text().splitlines():
        row = re.match(r"\| `(dtu_\w+)` \| (\w+) \|([^|]*)\| (.+) \|$", line)
        if row:
            if row[1] in rows:
                complain(f"docs/metrics.md: {row[1]} twice")
            labels, meaning = row[3], row[4]
            rows[row[1]] = (row[2], set(re.findall(r"`(\w+)`", labels)))
            VALUES[row[1]] = set(re.findall(r"`([\w.]+)`", meaning))
    return rows


def code_and_table(code, rows):
    for name, (kind, labels) in code.items():
        if name not in rows:
            complain(f"docs/metrics.md: {name} is registered and not in the table")
        elif rows[name] != (kind, labels):
            complain(f"docs/metrics.md: {name} is {kind} {sorted(labels)}, the table says {rows[name][0]} {sorted(rows[name][1])}")
    for name in rows.keys() - code.keys():
        complain(f"docs/metrics.md: {name} is in the table and nobody registers it")
    for name, (kind, _) in rows.items():
        if (kind == "counter") != name.endswith("_total"):
            complain(f"docs/metrics.md: {name} is a {kind}")


def base(name, rows):
    """The metric of a series: histograms have three."""
    for suffix in ("_bucket", "_sum", "_count"):
        plain = name.removesuffix(suffix)
        if plain != name and rows.get(plain, ("",))[0] == "histogram":
            return plain
    return name


def expression(where, text, rows, recorded):
    """Every metric and every label that a PromQL expression names."""
    text = re.sub(r"\$\{?\w+(?::\w+)?\}?", "5m", text) if where.startswith("dashboard") else text
    for name, matchers in re.findall(r'\b(dtu\w*)\{((?:[^}"]|"[^"]*")*)\}', text):
        for label, value in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', matchers):
            for one in [] if label in FREE else value.split("|"):
                if one and one not in VALUES.get(base(name, rows), set()):
                    complain(f"{where}: the table does not say that {label} of {name} can be {one!r}")
    named = set()
    for series in re.finditer(r"\b(dtu[\w:]*|up)\b(?!\s*\()\s*(?:\{([^}]*)\})?", re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)):
        name, matchers = base(series[1], rows), series[2] or ""
        if name not in rows and name not in recorded and name not in FOREIGN:
            complain(f"{where}: there is no metric {series[1]}")
            continue
        named.add(name)
        for label in re.findall(r"(\w+)\s*(?:=|!)", matchers):
            if label not in TARGET_LABELS | rows.get(name, ("", set()))[1]:
                complain(f"{where}: {name} has no label {label}")
    known = set().union(TARGET_LABELS, *(rows[name][1] for name in named if name in rows))
    for group in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", text):
        for label in filter(None, re.split(r"[\s,]+", group)):
            if label not in known:
                complain(f"{where}: no metric in it has the label {label}")
    if not named:
        complain(f"{where}: names no metric: {text}")


def headings(path):
    """The anchors of a document's headings."""
    if not path.exists():
        complain(f"{path.relative_to(ROOT)}: is missing")
        return set()
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def rules(rows):
    groups = yaml.safe_load(RULES.read_text())["groups"]
    all_rules = [rule for group in groups for rule in group["rules"]]
    recorded = {rule["record"] for rule in all_rules if "record" in rule}
    anchors = headings(RUNBOOK)
    alerts = {}
    for rule in all_rules:
        name = rule.get("alert") or rule["record"]
        expression(f"rule {name}", rule["expr"], rows, recorded)
        if "alert" not in rule:
            continue
        alerts[name] = severity = rule.get("labels", {}).get("severity")
        words = rule.get("annotations", {})
        if severity not in SEVERITIES:
            complain(f"rule {name}: severity {severity}")
        for key in ("summary", "description", "runbook_url"):
            if not words.get(key):
                complain(f"rule {name}: no {key}")
        url = words.get("runbook_url", "")
        if url != f"docs/runbook.md#{name.lower()}" or name.lower() not in anchors:
            complain(f"rule {name}: no heading for {url} in docs/runbook.md")
    for anchor in anchors:
        if anchor.startswith("dtu") and anchor not in {name.lower() for name in alerts}:
            complain(f"docs/runbook.md: there is no alert for #{anchor}")
    return alerts, recorded


def rule_tests(alerts, rows):
    firing, silent = set(), set()
    for test in yaml.safe_load(TESTS.read_text())["tests"]:
        for series in test["input_series"]:
            expression(f"test {test['name']}", series["series"], rows, set())
        name = test["name"].split(",")[0]
        for case in test.get("promql_expr_test", []):
            shown = {match[1] for s in case["exp_samples"] if (match := re.search(r'alertname="(\w+)"', s["labels"]))}
            (firing if name in shown else silent).add(name)
    for alert in alerts:
        if alert not in firing:
            complain(f"rule {alert}: no test in which it fires")
        if alert not in silent:
            complain(f"rule {alert}: no test in which it is silent")


def dashboard(rows, recorded):
    shown = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in shown["panels"] if panel["type"] != "row"]
    ids = [panel["id"] for panel in shown["panels"]]
    if len(set(ids)) != len(ids):
        complain("dashboard: an id twice")
    count = 0
    for panel in panels:
        if not panel.get("description"):
            complain(f"dashboard, {panel['title']}: no description")
        for target in panel["targets"]:
            expression(f"dashboard, {panel['title']}", target["expr"], rows, recorded)
            count += 1
    for variable in shown["templating"]["list"]:
        if variable["type"] == "query":
            expression(f"dashboard, ${variable['name']}", variable["query"]["query"], rows, recorded)
    return len(panels), count


def main():
    code, rows = registered(), table()
    code_and_table(code, rows)
    described(rows)
    alerts, recorded = rules(rows)
    rule_tests(alerts, rows)
    panels, expressions = dashboard(rows, recorded)
    for text in wrong:
        print(text, file=sys.stderr)
    if wrong:
        sys.exit(1)
    print(f"metrics: {len(rows)} in code and table, {len(alerts)} alerts, {panels} panels with {expressions} expressions")


if __name__ == "__main__":
    main()
