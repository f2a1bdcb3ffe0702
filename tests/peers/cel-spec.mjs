// Writes the conformance cases of cel-spec as one JSON list to standard output. Run by install.sh in
// the folder of the pinned packages.
import { tests } from "@bufbuild/cel-spec/testdata/conformance.js";

const cases = [];

function collect(suite, file, section) {
  for (const { original } of suite.tests ?? []) cases.push({ ...original, file, section });
  for (const inner of suite.suites ?? []) collect(inner, file, inner.name);
}

for (const file of tests.suites) collect(file, file.name, "");
// Doubles as text, which says exactly which double is meant.
const exact = (key, value) => (key === "doubleValue" ? String(value) : value);
process.stdout.write(JSON.stringify(cases, exact));
