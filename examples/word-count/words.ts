import { job, read } from 'balsa/procedures';

/**
 * Counts the words of all texts below `text/`, as of one revision.
 *
 *     balsa deploy examples/word-count/words.ts
 *     balsa put text/1 'the more the merrier'
 *     balsa job submit examples/word-count/words.ts --result
 *
 * The texts are cut into pieces; a task counts those of one piece (map), others add up what four of them found (combine),
 * and so on until there is one table (reduce).
 */

export type Counts = Readonly<Record<string, number>>;

/** Words are what lies between characters that are neither letters nor digits, in lower case. */
export function countWords(texts: Iterable<string>): Counts {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []) {
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  return Object.fromEntries(counts);
}

export function addCounts(tables: Iterable<Counts>): Counts {
  const counts = new Map<string, number>();
  for (const table of tables) {
    for (const [word, n] of Object.entries(table)) counts.set(word, (counts.get(word) ?? 0) + n);
  }
  return Object.fromEntries(counts);
}

export const map = read({
  handler: (_ctx, texts: readonly { key: string; value: string }[]) =>
    countWords(texts.map(({ value }) => value)),
});

export const add = read({ handler: (_ctx, tables: readonly Counts[]) => addCounts(tables) });

export const wordCount = job({
  name: 'word-count',
  input: { prefix: 'text/', values: 'text', bytesPerTask: 64 * 1024 },
  stages: {
    map: { run: 'map' },
    combine: { kind: 'combine', run: 'add', fanIn: 4 },
    total: { kind: 'reduce', run: 'add', fanIn: 8 },
  },
});
