"""What a measurement must reach, and what it should."""

from dataclasses import dataclass


@dataclass
class Verdict:
    """One figure beside its bounds. `at_most`: less is better."""

    row: str
    what: str
    value: float | None  # None: not measured
    must: float | None
    aim: float
    at_most: bool = False
    unit: str = ""

    def reaches(self, bound):
        return self.value <= bound if self.at_most else self.value >= bound

    @property
    def word(self):
        if self.value is None:
            return "not measured"
        if self.reaches(self.aim):
            return "aim"
        return "must" if self.must is None or self.reaches(self.must) else "MISSED"

    @property
    def missed(self):
        return self.word == "MISSED"

    def as_json(self):
        return {"row": self.row, "what": self.what, "value": self.value, "unit": self.unit, "must": self.must, "aim": self.aim,
                "at_most": self.at_most, "verdict": self.word}


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def print_verdicts(verdicts):
    print(f"{'row':10} {'what':44} {'measured':>10} {'must':>8} {'aim':>8}  reached")
    for one in verdicts:
        sign = "<=" if one.at_most else ">="
        bounds = ["-" if bound is None else f"{sign} {number(bound)}" for bound in (one.must, one.aim)]
        print(f"{one.row:10} {one.what:44} {number(one.value) + one.unit:>10} {bounds[0]:>8} {bounds[1]:>8}  {one.word}")
