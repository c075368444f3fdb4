#!/usr/bin/env python3
"""
draw.py            draw the pictures of the documents: NAME.svg beside this file
draw.py --check    or say which are not what this would draw

Each picture has a background of its own, so it can be read on light and dark pages.
"""

import os
import sys
from xml.sax.saxutils import escape

HERE = os.path.dirname(os.path.abspath(__file__))

INK, PAPER, FAINT = "#1f2933", "#ffffff", "#7b8794"
BLUE, GREEN, YELLOW, RED, GREY = "#d6e6fb", "#d5f0dc", "#fdf0c4", "#fadadd", "#e9edf1"
SANS = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
MONO = "Menlo, Consolas, 'DejaVu Sans Mono', monospace"


class Picture:
    """Lengths are pixels from the upper left corner."""

    def __init__(self, title, width, height):
        self.out = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f'<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
            f'<path d="M0 0 L10 5 L0 10 z" fill="{INK}"/></marker></defs>',
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="{PAPER}" stroke="{FAINT}"/>',
        ]

    def text(self, x, y, *lines, size=13, anchor="middle", bold=False, mono=False, color=INK):
        style = f'font-family="{MONO if mono else SANS}" font-size="{size}" text-anchor="{anchor}" fill="{color}"'
        if bold:
            style += ' font-weight="bold"'
        for i, line in enumerate(lines):
            self.out.append(f'<text x="{x:g}" y="{y + i * (size + 4):g}" {style}>{escape(line)}</text>')

    def box(self, x, y, w, h, *lines, fill=GREY, dashed=False, **text):
        """A box with lines of text in its middle."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.out.append(f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="4" fill="{fill}" stroke="{INK}"{dash}/>')
        step = text.get("size", 13) + 4
        self.text(x + w / 2, y + h / 2 + 4.5 - step * (len(lines) - 1) / 2, *lines, **text)

    def arrow(self, *points, both=False, dashed=False):
        """A line from point to point, with a tip at its end."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        more = (' marker-start="url(#tip)"' if both else "") + (' stroke-dasharray="5 4"' if dashed else "")
        self.out.append(f'<polyline points="{path}" fill="none" stroke="{INK}" stroke-width="1.5" marker-end="url(#tip)"{more}/>')

    def line(self, x1, y1, x2, y2, color=INK, width=1.5):
        self.out.append(f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{color}" stroke-width="{width}"/>')

    def dot(self, x, y):
        self.out.append(f'<circle cx="{x:g}" cy="{y:g}" r="4" fill="{INK}"/>')

    def brace(self, x1, x2, y, label):
        """A bracket above what it names."""
        self.out.append(f'<path d="M{x1} {y + 8} V{y} H{x2} V{y + 8}" fill="none" stroke="{FAINT}" stroke-width="1.5"/>')
        self.text((x1 + x2) / 2, y - 7, label, color=FAINT)

    def done(self):
        return "\n".join(self.out + ["</svg>", ""])


def lookup():
    p = Picture("A look-up: from the key by way of the model and the directory to one leaf page and the row", 860, 290)
    p.brace(120, 470, 34, "memory of the session: a checked copy")
    p.brace(510, 690, 34, "index: one page read")
    p.brace(722, 844, 34, "table")
    p.box(14, 75, 76, 44, "id = 42", fill=YELLOW, mono=True)
    p.arrow((90, 97), (122, 97))
    p.box(124, 60, 150, 74, "router", "which line?", "binary search", fill=BLUE)
    p.arrow((199, 134), (199, 160))
    p.box(124, 160, 150, 74, "line", "position p, never", "off by more than \u03b5", fill=BLUE)
    p.arrow((274, 197), (302, 197), (302, 147), (330, 147))
    for i in range(8):
        near = 2 <= i <= 4
        p.box(330, 56 + 24 * i, 136, 24, ("fence, block", "fence, block", "fence \u2264 42, block", "fence, block")[min(i - 1, 3) if near else 0],
              fill=GREEN if near else GREY, size=12)
    p.text(398, 268, "directory of leaves: look", "only between p \u2212 \u03b5 and p + \u03b5", size=12)
    p.arrow((466, 140), (518, 140))
    p.box(518, 56, 164, 34, "is it that leaf?", fill=RED, size=12)
    p.box(518, 90, 164, 34, "which block?", fill=GREY, size=12)
    p.box(518, 124, 164, 34, "its line: which slot?", fill=BLUE, size=12)
    p.box(518, 158, 164, 34, "slot: key, row address", fill=GREEN, size=12)
    p.box(518, 192, 164, 34, "insert run: late ones", fill=GREY, size=12)
    p.text(600, 252, "not that leaf? go back or", "to the right: slower, never wrong", size=12)
    p.arrow((682, 175), (728, 175))
    p.box(728, 153, 110, 44, "row", fill=YELLOW)
    return p


def leaf():
    p = Picture("A leaf page of 8 kB: headers, first keys, descriptors, payloads, free room, insert run, identity", 860, 380)
    p.text(20, 30, "a leaf page: 8192 bytes, up to 16384 entries", anchor="start", bold=True)
    parts = [(56, ("page", "header", "24"), GREY), (104, ("fences,", "siblings, counts,", "checksum 80"), RED), (110, ("first[ ]:", "first key of", "each block"), GREEN),
             (110, ("desc[ ]: line", "of each block,", "24 each"), BLUE), (176, ("payloads of the blocks:", "residuals, dead slots,", "extras, runs"), YELLOW),
             (84, ("unused,", "zero"), PAPER), (116, ("insert run:", "\u2264 64 late", "entries"), GREEN), (64, ("whose", "page, 16"), GREY)]
    x = 20
    for w, lines, fill in parts:
        p.box(x, 46, w, 80, *lines, fill=fill, size=12)
        x += w
    p.arrow((582, 140), (630, 140))
    p.text(570, 144, "grows", anchor="end", size=12)
    p.arrow((774, 140), (684, 140))
    p.text(784, 144, "grows", anchor="start", size=12)
    p.text(20, 184, "a block: up to 256 slots with one line for their keys", anchor="start", bold=True)
    p.line(60, 344, 60, 204)
    p.line(60, 344, 420, 344)
    p.text(50, 210, "key", anchor="end")
    p.text(420, 362, "slot")
    p.line(60, 334, 410, 214, color="#2f6fc1", width=2)
    for x, off in ((80, -4), (116, 9), (152, 16), (188, 5), (224, -13), (260, -18), (296, -6), (332, 11), (368, 4), (400, -8)):
        y = 334 - (x - 60) * 120 / 350
        p.line(x, y, x, y + off, color="#c0392b", width=2)
        p.dot(x, y + off)
    p.text(450, 222, "points: the keys", "blue: the line, stored once, 24 bytes with its bounds", "red: how far off, stored for each slot in as few bits",
           "as the widest needs (none, if the line is exact)", "", "\u03b5 is the largest error, exactly: a search looks at",
           "p \u2212 \u03b5 \u2212 1 to p + \u03b5 + 1 and nowhere else.", "Addresses of rows have a line of their own.", anchor="start")
    return p


def index_file():
    p = Picture("The file of an index: meta page, chain of leaves, directory, model, split log, free pages", 860, 330)
    p.text(20, 30, "hints: where to begin looking", anchor="start", bold=True)
    p.box(20, 46, 150, 64, "meta page", "block 0", fill=RED)
    p.arrow((170, 64), (208, 64))
    p.box(208, 46, 170, 64, "directory", "low fence, block", "of each leaf", fill=BLUE)
    p.box(400, 46, 150, 64, "model", "trained on the", "directory", fill=BLUE)
    p.box(572, 46, 150, 64, "split log", "fences newer than", "the directory", fill=YELLOW)
    p.arrow((95, 110), (95, 132), (647, 132), (647, 110))
    p.arrow((475, 132), (475, 110))
    p.box(744, 46, 96, 64, "free pages", fill=PAPER, dashed=True)
    fences = ["\u2212\u221e \u2026 17", "17 \u2026 40", "40 \u2026 95", "95 \u2026 +\u221e", "NULLs"]
    names = ["leaf, block 1", "leaf", "leaf", "leaf", "leaf"]
    for i in range(5):
        x = 20 + i * 166
        p.box(x, 180, 140, 60, names[i], fences[i], fill=GREY if i == 4 else GREEN)
        if i:
            p.arrow((x - 24, 210), (x - 2, 210), both=True)
    for x in (110, 256, 422):
        p.arrow((x if x == 256 else 230 if x == 110 else 356, 110), (x, 178), dashed=True)
    p.text(20, 270, "the truth: a chain of leaves in order of (is NULL, key, address of the row)", anchor="start", bold=True)
    p.text(20, 294, "A leaf says itself which range it owns, whose it is and what its checksum is, so a hint that lags behind is found out.",
           "Leaves, directory, model and split log lie in the file in any order; only blocks 0 and 1 are always what they are.", anchor="start")
    return p


def table_file():
    p = Picture("The file of a kyro table: run list, log pages, runs of sealed rows, group pages, link pages", 860, 420)
    x = 20
    for w, lines, fill in ((100, ("list", "block 0"), RED), (70, ("log",), GREEN), (70, ("log",), GREEN), (80, ("rows",), BLUE), (80, ("rows",), BLUE),
                           (80, ("rows",), BLUE), (90, ("groups",), YELLOW), (70, ("log",), GREEN), (90, ("links",), YELLOW), (70, ("log",), GREEN)):
        p.box(x, 90, w, 60, *lines, fill=fill)
        x += w + 2
    p.brace(268, 602, 48, "a run: written once, by one seal, in order of the key")
    p.arrow((70, 90), (70, 68), (300, 68), (300, 88))
    p.text(30, 62, "the runs, their states", anchor="start", size=12)
    p.box(268, 210, 244, 60, "a page of rows: packed rows,", "no headers, one checksum", fill=BLUE, size=12)
    p.arrow((390, 150), (390, 208), dashed=True)
    p.box(536, 210, 130, 60, "per group of rows:", "its link page, or none", fill=YELLOW, size=11)
    p.arrow((556, 150), (580, 208), dashed=True)
    p.box(690, 210, 150, 60, "per row 6 bytes:", "its ledger tuple, or none", fill=YELLOW, size=11)
    p.arrow((722, 150), (752, 208), dashed=True)
    p.arrow((666, 240), (688, 240))
    p.box(20, 300, 460, 60, "a log page is a heap page: new rows, versions of updated rows,", "and ledger tuples, which change in the place of sealed rows",
          fill=GREEN, size=12)
    p.arrow((157, 150), (157, 298), dashed=True)
    p.arrow((765, 270), (765, 330), (482, 330))
    p.text(622, 320, "the link leads to it", size=12)
    p.text(20, 384, "Pages of rows never change, so they are read through a memory map.", "What changes is in the log, by the server's own heap code.", anchor="start")
    return p


def row_life():
    p = Picture("The life of a row: inserted into the log, sealed, touched, updated or deleted, compacted", 860, 320)
    p.box(20, 110, 150, 70, "row in the log", "a heap tuple", fill=GREEN)
    p.arrow((95, 60), (95, 108))
    p.text(95, 50, "INSERT, COPY", mono=True, size=12)
    p.arrow((170, 145), (318, 145))
    p.text(244, 136, "kyro.snapshot()", mono=True, size=12)
    p.box(320, 110, 150, 70, "sealed row", "packed, in order", fill=BLUE)
    p.arrow((470, 145), (648, 145))
    p.text(559, 118, "first UPDATE,", "DELETE or row lock", size=12)
    p.box(650, 100, 190, 90, "sealed row", "with a ledger tuple,", "which stands for it", fill=YELLOW)
    p.arrow((690, 190), (690, 240), (95, 240), (95, 182))
    p.text(400, 232, "UPDATE: the new version is a row in the log", size=12)
    p.arrow((790, 190), (790, 248))
    p.text(782, 222, "DELETE", mono=True, size=12, anchor="end")
    p.box(560, 250, 280, 54, "dead: VACUUM takes its ledger tuple,", "VACUUM FULL and CLUSTER its space", fill=GREY, size=12)
    p.arrow((745, 100), (745, 60), (395, 60), (395, 108))
    p.text(570, 52, "VACUUM FULL, CLUSTER: one new run of all that live", size=12)
    p.text(105, 204, "changed there: as in any heap", size=12, anchor="start")
    return p


PICTURES = {"look-up": lookup, "leaf-page": leaf, "index-file": index_file, "table-file": table_file, "row-life": row_life}


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__.strip())
    for name, draw in PICTURES.items():
        path = os.path.join(HERE, name + ".svg")
        new = draw().done()
        if not check:
            with open(path, "w", encoding="utf-8") as f:
                f.write(new)
            continue
        old = open(path, encoding="utf-8").read() if os.path.exists(path) else ""
        if old != new:
            print(f"{name}.svg is not what docs/pictures/draw.py draws: run it")


if __name__ == "__main__":
    main()
