"""The parts of the page that need no script: verdict, checkers, violations, staleness, legend. All text is escaped here."""

import datetime
import html

from report import staleness as ages
from report import words
from report.history import as_text, count

GLYPHS = {"valid": "✓", "invalid": "✕", "unknown": "?"}
MAX_VIOLATIONS = 200
WIDTH, HEIGHT, TOP = 560, 132, 18  # of a histogram, in its own units


def text(value):
    return html.escape(as_text(value), quote=True)


def verdict(history, results, staleness, problem):
    kind = words.verdict_of(results)
    said = html.escape(words.paragraph(history, results, staleness, problem))
    return (f'<div class="verdict {kind}"><p class="word"><span class="glyph" aria-hidden="true">{GLYPHS[kind]}</span> '
            f'{kind.capitalize()}</p><p class="said">{said}</p></div>')


def facts(history):
    header, rows = history.header, []
    for name, key in (("Workload", "workload"), ("Seed", "seed"), ("Network", "backend"), ("Nodes", "nodes")):
        if header.get(key) is not None:
            rows.append((name, text(header[key])))
    started = count(header.get("started_unix_us"))
    if started is not None and started < 4_000_000_000_000_000:
        when = datetime.datetime.fromtimestamp(started / 1e6, datetime.timezone.utc)
        rows.append(("Started", f"{when:%Y-%m-%d %H:%M:%S} UTC"))
    rows.append(("Length", words.duration(history.end)))
    shown = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    again = words.repro(history)
    command = (f'<p class="again"><span>Run it again</span> <code id="again">{html.escape(again)}</code> '
               f'<button id="copy" type="button">Copy</button></p>' if again else "")
    return f"<dl>{shown}</dl>{command}"


def notes(history, results):
    """What the reader must know about the data: damage, thinning."""
    said = []
    if history.stride > 1:
        said.append(f"{history.total:,} operations are more than a page can draw: one in {history.stride} is here, with all that "
                    f"a violation names. Counts, verdicts and measured ages are of all of them.")
    lies = ages.lies(history, history.ops["measured"])
    if lies and words.verdict_of(results) == "valid":
        said.append(f"{words.plural(lies, 'read')} measured older here than the certificate claims, though the checkers found nothing "
                    f"wrong: one of the two is mistaken. Colour by measured age to find them.")
    noted = results.get("notes")
    said += [f"The checker notes: {as_text(note)}." for note in noted[:20]] if isinstance(noted, list) else []
    if history.problem_count:
        said.append(f"{words.plural(history.problem_count, 'line')} of the history could not be used: "
                    + "; ".join(history.problems) + ("; …" if history.problem_count > len(history.problems) else "") + ".")
    return "".join(f'<p class="note">{html.escape(note)}</p>' for note in said)


def checkers(results):
    rows = results.get("checkers")
    shown = []
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict):
            continue
        kind = words.VERDICTS.get(row.get("valid")) if isinstance(row.get("valid"), bool) else None
        kind = kind or "unknown"
        small = []
        if count(row.get("checked")) is not None:
            small.append(f"{count(row['checked']):,} checked")
        if count(row.get("took_ms")) is not None:
            small.append(f"{count(row['took_ms']):,} ms")
        detail = f'<small class="detail">{text(row["detail"])}</small>' if row.get("detail") else ""
        shown.append(f'<li class="{kind}"><span class="glyph" aria-hidden="true">{GLYPHS[kind]}</span>'
                     f'<span><b>{text(row.get("name", "?"))}</b> <span class="state">{kind}</span>'
                     f'<small>{" · ".join(small)}</small>{detail}</span></li>')
    return f'<ul class="checkers" aria-label="Checkers">{"".join(shown)}</ul>' if shown else ""


def violations_of(results):
    """Violations in a safe shape, for the page's script: [{checker, sentence, ops, at, key}]."""
    rows = results.get("violations")
    safe = []
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and len(safe) < MAX_VIOLATIONS:
            ops = row.get("ops")
            safe.append({"checker": as_text(row.get("checker", "?")), "sentence": as_text(row.get("sentence", "")),
                         "ops": [n for n in map(count, ops) if n is not None][:100] if isinstance(ops, list) else [],
                         "at": count(row.get("at")), "key": as_text(row["key"]) if row.get("key") is not None else None})
    return safe


def violations(safe, total):
    if not safe:
        return ""
    items = []
    for i, row in enumerate(safe):
        at = f'<time>{words.duration(row["at"])}</time>' if row["at"] is not None else ""
        items.append(f'<li><button type="button" data-violation="{i}"><b>{html.escape(row["checker"])}</b>'
                     f'<span>{html.escape(row["sentence"])}</span>{at}</button></li>')
    more = f"<p>{total - len(safe):,} more are in results.json.</p>" if total > len(safe) else ""
    return (f'<section class="violations" aria-labelledby="violations-title"><h2 id="violations-title">'
            f'{words.plural(total, "broken promise")}</h2><ol>{"".join(items)}</ol>{more}</section>')


def total_violations(results, listed):
    """All that were found: the checkers list the first ones only."""
    rows = results.get("checkers")
    found = [count(row.get("violations")) or 0 for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return max(len(listed), sum(found))


def availability(results):
    """When strong reads were served again after each fault."""
    rows = results.get("availability")
    rows = [row for row in rows if isinstance(row, dict)][:MAX_VIOLATIONS] if isinstance(rows, list) else []
    if not rows:
        return ""
    shown = "".join(f'<tr><th scope="row">{text(row.get("fault", "?"))}</th><td>{words.duration(count(row.get("at")))}</td>'
                    f'<td>{words.duration(count(row.get("served_after_us")))}</td><td>{text(row.get("judgement", ""))}</td></tr>' for row in rows)
    return (f'<section class="staleness" aria-labelledby="available-title"><h2 id="available-title">Strong reads after each fault</h2>'
            f'<div class="scroll"><table class="plain"><thead><tr><th scope="col">fault</th><th scope="col">at</th>'
            f'<th scope="col">served again after</th><th scope="col">judgement</th></tr></thead><tbody>{shown}</tbody></table></div></section>')


def staleness(figures):
    if not figures:
        return ""
    cards = "".join(_card(level, figures[level]) for level in words.levels_used(figures))
    rows = "".join(_row(level, figures[level]) for level in words.levels_used(figures))
    return (f'<section class="staleness" aria-labelledby="staleness-title"><h2 id="staleness-title">How old the reads were</h2>'
            f'<p class="lead">Each read carries a certificate that says how old it can be at most. Measured is how old it '
            f'really was, seen from outside: the time since anyone was first shown something that it did not contain.</p>'
            f'<p class="key"><span class="swatch measured"></span> measured <span class="swatch promised"></span> promised by the '
            f'certificate <span class="swatch bound"></span> bound that was asked for</p>'
            f'<div class="cards">{cards}</div><div class="scroll"><table><caption class="hidden">Ages of the reads by level</caption>'
            f'<thead><tr><th scope="col" rowspan="2">level</th><th scope="col" rowspan="2">reads</th>'
            f'<th scope="col" rowspan="2">asked for</th><th scope="colgroup" colspan="3">promised</th>'
            f'<th scope="colgroup" colspan="3">measured</th></tr><tr><th scope="col">p50</th><th scope="col">p99</th>'
            f'<th scope="col">max</th><th scope="col">p50</th><th scope="col">p99</th><th scope="col">max</th></tr></thead>'
            f'<tbody>{rows}</tbody></table></div></section>')


def _row(level, row):
    bounds = " / ".join(words.duration(b) for b in row["bounds"]) or ("0" if level == "strong" else "no bound")
    cells = [words.duration(ages.quantile(row[name], share)) for name in ("promised", "measured") for share in (.5, .99, 1)]
    return (f'<tr><th scope="row"><span class="swatch {level}"></span> {level}</th><td>{row["reads"]:,}</td><td>{bounds}</td>'
            + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")


def _card(level, row):
    """Measured above the line, promised mirrored below it, on one log axis; heights are square roots, so that tails show."""
    half = (HEIGHT - 2 * TOP) / 2
    middle, width = TOP + half, WIDTH / ages.BINS
    bars = []
    for name, sign in (("measured", -1), ("promised", 1)):
        shares = ages.histogram(row[name])
        top = max(shares, default=0) or 1
        for i, share in enumerate(shares):
            if share:
                tall = max(1.5, half * (share / top) ** .5)
                y = middle - tall if sign < 0 else middle
                bars.append(f'<rect class="{name}" x="{i * width + .7:.1f}" y="{y:.1f}" width="{width - 1.4:.1f}" height="{tall:.1f}"/>')
    ticks = "".join(f'<text class="tick" x="{ages.position(us) * WIDTH:.1f}" y="{HEIGHT - 3}">{words.duration(us)}</text>'
                    for us in (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000))
    marks = "".join(_mark(bound) for bound in row["bounds"])
    figures = [f'{name} p99 {words.duration(ages.quantile(row[name], .99))}' for name in ("measured", "promised") if row[name]]
    label = html.escape(f"{level}: {', '.join(figures) or 'no figures'}")
    return (f'<figure><figcaption><span class="swatch {level}"></span> <b>{level}</b> <small>{html.escape(" · ".join(figures))}</small>'
            f'</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
            f'<line class="base" x1="0" x2="{WIDTH}" y1="{middle}" y2="{middle}"/>{"".join(bars)}{marks}{ticks}</svg></figure>')


def _mark(bound):
    x = ages.position(bound) * WIDTH
    anchor, shift = ("end", -5) if x > WIDTH * .8 else ("start", 5)
    return (f'<line class="bound" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{HEIGHT - TOP}"/>'
            f'<text class="bound" x="{x + shift:.1f}" y="13" text-anchor="{anchor}">bound {words.duration(bound)}</text>')


def meanings():
    return "".join(f'<div><dt><span class="swatch {level}"></span> {level}</dt><dd>{html.escape(said)}</dd></div>'
                   for level, said in words.MEANINGS)
