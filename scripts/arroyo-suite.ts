import { readFileSync, writeFileSync } from 'node:fs';
import { suiteFiles, suiteText } from '../test/support/arroyo-suite.ts';

/** Writes the list of Arroyo's SQL files that are accepted into docs/arroyo.md. ARROYO_REPOSITORY names a checkout of Arroyo. */

const repository = process.env.ARROYO_REPOSITORY;
if (!repository) throw new Error('Set ARROYO_REPOSITORY to the folder of a checkout of Arroyo');
const path = new URL('../docs/arroyo.md', import.meta.url);
const document = readFileSync(path, 'utf8');
const [begin, end] = ['<!-- suites -->\n', '<!-- /suites -->'];
const [before, after] = [document.indexOf(begin) + begin.length, document.indexOf(end)];
if (before < begin.length || after < before) throw new Error('docs/arroyo.md has no place for the list');
writeFileSync(
  path,
  document.slice(0, before) + (await suiteText(suiteFiles(repository))) + document.slice(after),
);
