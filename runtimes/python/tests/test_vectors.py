"""The golden frames of `protocol/vectors`: `python3 -m unittest discover runtimes/python/tests`."""

import json
import sys
import unittest
from pathlib import Path

RUNTIME = Path(__file__).resolve().parent.parent
VECTORS = RUNTIME.parent.parent / "protocol" / "vectors"
sys.path.insert(0, str(RUNTIME))

from _alyx import frame  # noqa: E402


def read(name):
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def decode_whole(data):
    length = frame.frame_length(data[:4])
    assert length == len(data) - 4
    return frame.decode(data[4:])


class Vectors(unittest.TestCase):
    def test_frames_to_the_worker_decode(self):
        for vector in read("to_worker.json"):
            with self.subTest(vector["name"]):
                expected = frame.NAMES[vector["type"]], vector["message"]
                self.assertEqual(decode_whole(bytes.fromhex(vector["frame"])), expected)

    def test_frames_from_the_worker_encode(self):
        for vector in read("from_worker.json"):
            with self.subTest(vector["name"]):
                body = frame.to_json(vector["message"])
                data = frame.encode(frame.NAMES[vector["type"]], body)
                self.assertEqual(frame.frame_length(data[:4]), len(data) - 4)
                self.assertEqual(data[4], bytes.fromhex(vector["frame"])[4])
                self.assertEqual(json.loads(data[5:]), vector["message"])

    def test_invalid_frames_are_refused(self):
        for vector in read("invalid.json"):
            if not vector["refused_by_shim"]:
                continue
            with self.subTest(vector["name"]), self.assertRaises(frame.FrameError) as refused:
                decode_whole(bytes.fromhex(vector["frame"]))
            self.assertEqual(refused.exception.kind, vector["error"], vector["name"])

    def test_frames_are_the_same_however_the_bytes_arrive(self):
        vectors = read("to_worker.json")
        stream = b"".join(bytes.fromhex(vector["frame"]) for vector in vectors)
        for step in (1, 2, 3, 4, 5, 7, 64, 1000, len(stream)):
            splitter, seen = frame.Splitter(), []
            for at in range(0, len(stream), step):
                seen += splitter.push(stream[at : at + step])
            self.assertEqual([message for _, message in seen], [vector["message"] for vector in vectors], step)

    def test_a_frame_over_the_bound_is_not_made(self):
        largest = b"x" * (frame.FRAME_MAX_BYTES - 1)
        self.assertEqual(len(frame.encode(frame.DONE, largest)), frame.FRAME_MAX_BYTES + 4)
        self.assertIsNone(frame.encode(frame.DONE, largest + b"x"))

    def test_values_that_are_not_json_are_refused(self):
        cycle = []
        cycle.append(cycle)
        for value in (float("nan"), float("inf"), b"bytes", {1, 2}, object(), cycle, {(1, 2): 3}):
            with self.subTest(type(value)), self.assertRaises((TypeError, ValueError, RecursionError)):
                frame.to_json(value)
        self.assertEqual(frame.to_json("\ud800é"), b'"\\ud800\\u00e9"')


if __name__ == "__main__":
    unittest.main()
