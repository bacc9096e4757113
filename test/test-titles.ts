import { readFileSync } from 'node:fs';

/** The titles of the tests of a file, read from its text: no test is run. */

interface Block {
  readonly indent: number;
  readonly title: string;
}

export interface TestFile {
  readonly text: string;
  /** `outer › inner › title` for each test; a part that the code makes is `…`. */
  readonly titles: readonly string[];
}

/** `describe('…'`, `test('…'`, `test.each(CASES)('…'`, `])('…'` behind a table, and `test(name`. */
const BLOCK =
  /^( *)(?:(describe|test)(?:\.\w+(?:\([^)]*\))?)*|\])(?:\)?\()\s*(?:(['"`])((?:\\.|(?!\3)[\s\S])*?)\3|\w+)/gm;

export function readTestFile(path: string): TestFile {
  const text = readFileSync(path, 'utf8');
  const titles: string[] = [];
  const around: Block[] = [];
  for (const [, indent = '', kind, , literal] of text.matchAll(BLOCK)) {
    while ((around.at(-1)?.indent ?? -1) >= indent.length) around.pop();
    const made = (literal ?? '…').replace(/\$\{[^}]*\}+|%[a-z]|\$\w+/g, '…');
    const title = made.replace(/\\(.)/g, '$1');
    if (kind === 'describe') around.push({ indent: indent.length, title });
    else titles.push([...around.map((block) => block.title), title].join(' › '));
  }
  return { text, titles };
}

/** Is there a test of this title? One that the code makes as a whole must at least be a text of the file. */
export function hasTest({ text, titles }: TestFile, wanted: string): boolean {
  return titles.some((title) => {
    if (title === wanted) return true;
    if (!title.includes('…')) return false;
    const last = wanted.split(' › ').at(-1);
    if (title.endsWith('› …') && !text.includes(`'${last}'`)) return false;
    const parts = title.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${parts.join('.+')}$`).test(wanted);
  });
}
