"""The table of rules: the limits of the code, and the words of the documentation."""

from dataclasses import replace
from pathlib import Path

from ctrs.config import Config, PairConfig
from ctrs.rules import Consequence, as_markdown, rules

INTAKE = Path(__file__).parents[1] / "assets" / "intake.md"


def test_the_documentation_holds_the_table_of_the_code():
    text = INTAKE.read_text()
    start, end = text.index("-->\n", text.index("<!-- rules")) + 4, text.index("<!-- /rules -->")
    assert text[start:end] == as_markdown(rules(Config())), "run: python -m ctrs.rules"


def test_limits_are_those_of_the_config():
    changed = replace(Config(), pair=PairConfig(green_days=(70, 98), amber_days=(50, 130)))
    intervals = {r.consequence: r.when for r in rules(changed) if r.subject == "interval"}
    assert intervals[Consequence.RED] == "outside 50 to 130 days"
    whens = [r.when for r in rules(changed)]
    assert "outside 70 to 98 days, or unknown" in whens


def test_every_rule_says_when_and_why():
    table = rules(Config())
    assert all(rule.when and rule.why for rule in table)
    assert {rule.consequence for rule in table} == set(Consequence)
