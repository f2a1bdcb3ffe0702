'use strict';
// Node 18 only: a copy of the function in /tmp that says `"type": "module"`.
//
// Files that Node would read as CommonJS are copied, everything else is a link to the original, so
// that data files and packages are found where the code expects them.

const fs = require('fs');
const os = require('os');
const path = require('path');

const ENTRIES_MAX = 2_000;

/** Copies the tree and returns the copy of `file`. */
function copyAsModule(root, file) {
  const target = fs.mkdtempSync(path.join(os.tmpdir(), 'alyx-module-'));
  copyDirectory(root, target, { entries: 0 });
  return path.join(target, path.relative(root, file));
}

function copyDirectory(source, target, budget) {
  for (const entry of fs.readdirSync(source, { withFileTypes: true })) {
    budget.entries += 1;
    if (budget.entries > ENTRIES_MAX) throw new Error('too many files: declare "type": "module" in package.json');
    const from = path.join(source, entry.name);
    const to = path.join(target, entry.name);
    if (entry.isDirectory() && entry.name !== 'node_modules') {
      fs.mkdirSync(to);
      copyDirectory(from, to, budget);
    } else if (entry.name.endsWith('.js')) {
      fs.copyFileSync(from, to);
    } else if (entry.name === 'package.json') {
      const text = JSON.stringify({ ...JSON.parse(fs.readFileSync(from, 'utf8')), type: 'module' });
      fs.writeFileSync(to, text);
    } else {
      fs.symlinkSync(from, to);
    }
  }
  const manifest = path.join(target, 'package.json');
  if (!fs.existsSync(manifest)) fs.writeFileSync(manifest, '{"type":"module"}');
}

module.exports = { copyAsModule };
