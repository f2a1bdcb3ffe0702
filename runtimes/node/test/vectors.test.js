'use strict';
// The golden frames of `protocol/vectors`: `node --test runtimes/node/test/`.

const assert = require('node:assert');
const { readFileSync } = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { Splitter, TYPE, decode, encode, frameLength } = require('../frame.js');

const read = (name) => JSON.parse(readFileSync(path.join(__dirname, '../../../protocol/vectors', name), 'utf8'));

function decodeWhole(frame) {
  const length = frameLength(frame, 0);
  assert.strictEqual(length, frame.length - 4);
  return decode(frame, 4, frame.length);
}

test('frames to the worker decode', () => {
  for (const { name, type, frame, message } of read('to_worker.json')) {
    assert.deepStrictEqual(decodeWhole(Buffer.from(frame, 'hex')), { type: TYPE[type], message }, name);
  }
});

test('frames from the worker encode', () => {
  for (const { name, type, frame, message } of read('from_worker.json')) {
    const encoded = encode(TYPE[type], JSON.stringify(message));
    assert.strictEqual(frameLength(encoded, 0), encoded.length - 4, name);
    assert.strictEqual(encoded[4], Buffer.from(frame, 'hex')[4], name);
    assert.deepStrictEqual(JSON.parse(encoded.subarray(5).toString()), message, name);
  }
});

test('invalid frames are refused', () => {
  for (const { name, frame, error, refused_by_shim: refused } of read('invalid.json')) {
    if (!refused) continue;
    assert.throws(() => decodeWhole(Buffer.from(frame, 'hex')), { kind: error }, name);
  }
});

test('frames are the same however the bytes arrive', () => {
  const vectors = read('to_worker.json');
  const stream = Buffer.concat(vectors.map(({ frame }) => Buffer.from(frame, 'hex')));
  for (const step of [1, 2, 3, 4, 5, 7, 64, 1000, stream.length]) {
    const seen = [];
    const splitter = new Splitter((type, message) => seen.push(message));
    for (let at = 0; at < stream.length; at += step) splitter.push(stream.subarray(at, at + step));
    assert.deepStrictEqual(seen, vectors.map(({ message }) => message), `step ${step}`);
  }
});

test('a frame over the bound is not made', () => {
  const largest = 'x'.repeat(16 * 1024 * 1024 - 1);
  assert.strictEqual(encode(TYPE.done, largest).length, 16 * 1024 * 1024 + 4);
  assert.strictEqual(encode(TYPE.done, `${largest}x`), null);
});
