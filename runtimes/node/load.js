'use strict';
// Loads the user's module, whatever kind it is, and finds the handler in it.

const { readFileSync } = require('fs');
const path = require('path');
const { pathToFileURL } = require('url');

// `import` or `export` as the first word of a line. A false hit costs nothing but time: `import()`
// loads CommonJS as well.
const ESM_SYNTAX = /^[ \t]*(?:import[\s{*"']|export[\s{*])/m;
const ESM_ERROR = /Cannot use import statement|Unexpected token 'export'|import\.meta|await is only valid/;

/** The handler of `entrypoint` below `root`. Rejects with the user's own error where it throws. */
async function load(root, entrypoint) {
  const file = path.join(root, entrypoint);
  const handler = pick(await loadModule(root, file));
  if (handler === undefined) {
    const forms = 'export default a function, set module.exports to one, or export one named handler';
    throw new Error(`${entrypoint} exports no function: ${forms}`);
  }
  return handler;
}

async function loadModule(root, file) {
  const isModule = file.endsWith('.mjs') || (!file.endsWith('.cjs') && (await looksLikeModule(root, file)));
  if (!isModule) return require(file);
  dropTypelessWarning();
  try {
    return await import(pathToFileURL(file));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    if (!ESM_ERROR.test(error.message)) throw require('./syntax_place.js').withPlace(error, file);
    // Node 18 takes a `.js` file without `"type": "module"` for CommonJS and does not look inside.
    return import(pathToFileURL(require('./esm_copy.js').copyAsModule(root, file)));
  }
}

async function looksLikeModule(root, file) {
  return packageType(root, file) === 'module' || ESM_SYNTAX.test(readFileSync(file, 'utf8'));
}

/** `type` of the nearest package.json between the file and the root. */
function packageType(root, file) {
  for (let directory = path.dirname(file); directory.startsWith(root); directory = path.dirname(directory)) {
    try {
      return JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8')).type;
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
  }
  return undefined;
}

/** We decided above what the file is; advice to say so in a package.json would be noise. */
function dropTypelessWarning() {
  const printers = process.listeners('warning');
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    const isAdvice =
      warning.code === 'MODULE_TYPELESS_PACKAGE_JSON' || warning.message.startsWith('To load an ES module');
    if (!isAdvice) for (const print of printers) print(warning);
  });
}

/** `default` also holds `module.exports`; compilers put a `default` of their own inside that. */
function pick(loaded) {
  const inner = loaded?.default;
  return [loaded, inner, loaded?.handler, inner?.default, inner?.handler].find(
    (candidate) => typeof candidate === 'function',
  );
}

module.exports = { load };
