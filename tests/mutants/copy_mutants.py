"""Mutants of copies and metadata, see `mutants`: name, what it breaks, file, old, new, killer."""

NOTES, OUTLET, TAPE, SEGMENTS = "stream/notes.py", "stream/outlet.py", "stream/tape.py", "capture/segments.py"
METADATA_TESTS, COPY_TESTS, SEGMENT_TESTS = (
    "stages/test_metadata_plays.py",
    "stages/test_copies_plays.py",
    "capture/test_segments.py",
)

COPIES = [
    (
        "the receipt leaves a frame out",
        "metadata",
        NOTES,
        'self._digest.update(said + b"\\n")',
        'self._frames and self._digest.update(said + b"\\n")',
        METADATA_TESTS,
    ),
    (
        "the last note comes twice",
        "metadata",
        NOTES,
        '        if self.told:\n            return b""',
        '        if False:\n            return b""',
        METADATA_TESTS,
    ),
    (
        "metadata for everybody",
        "metadata",
        OUTLET,
        "if plan.metadata is not None and self._fold is None:",
        "if self._fold is None:",
        COPY_TESTS,
    ),
    (
        "the original is what the client got",
        "capture",
        "stream/sides.py",
        "original = plan.tape is not None and plan.tape.original",
        "original = False",
        COPY_TESTS,
    ),
    ("an attempt that failed stays in the copy", "capture", OUTLET, "self._plan.tape.clear()", "pass", COPY_TESTS),
    ("a copy without bounds", "capture", TAPE, "if self.size <= self.limit:", "if True:", COPY_TESTS),
    ("half a line stays", "capture", SEGMENTS, "file.truncate(self._at)", "pass", SEGMENT_TESTS),
]
