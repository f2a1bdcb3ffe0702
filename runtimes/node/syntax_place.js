'use strict';
// Finds where a module does not parse. `import()` rejects with an error that has no line in it, and
// only the copy of Node that checks a file prints one.

const { spawnSync } = require('child_process');
const { readFileSync } = require('fs');

const CHECK = { encoding: 'utf8', timeout: 2_000, maxBuffer: 1 << 16, stdio: ['pipe', 'ignore', 'pipe'] };
const PLACE = /^\[stdin\]:(\d+)\n(.*)\n([ \t]*\^+)/m;

/** The same error, with file, line and column in its stack where they can be found. */
function withPlace(error, file) {
  if (String(error.stack).includes(file)) return error;
  const options = { ...CHECK, input: readFileSync(file) };
  const { stderr } = spawnSync(process.execPath, ['--input-type=module', '--check', '-'], options);
  const place = PLACE.exec(stderr ?? '');
  if (place !== null) {
    const [, line, text, caret] = place;
    error.stack = `${file}:${line}\n${text}\n${caret}\n${error.name}: ${error.message}`;
  }
  return error;
}

module.exports = { withPlace };
