// Search the built documentation with Sphinx's own scoring: node search.js FOLDER QUERIES_AS_JSON
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const [folder, queries] = [process.argv[2], JSON.parse(process.argv[3])];
const element = () => ({ dataset: {} });
const context = vm.createContext({
  console,
  DOCUMENTATION_OPTIONS: {},
  _removeChildren: () => {},  // of the page
  SPHINX_HIGHLIGHT_ENABLED: false,
  localStorage: { setItem() {}, getItem() {} },
  _: (text) => text,
  _ready: () => {},
  document: { createElement: element, documentElement: element(), getElementById: () => null },
});
context.window = context;
for (const name of ["_static/searchtools.js", "_static/language_data.js", "searchindex.js"])
  vm.runInContext(fs.readFileSync(path.join(folder, name), "utf8"), context, { filename: name });

context.queries = queries;
const found = vm.runInContext(
  `queries.map((query) => {
     const [, terms, excluded, highlight, objects] = Search._parseQuery(query);
     const results = Search._performSearch(query, terms, excluded, highlight, objects);
     return results.reverse().map((result) => result[0]);  // best first
   })`,
  context,
);
process.stdout.write(JSON.stringify(found));
