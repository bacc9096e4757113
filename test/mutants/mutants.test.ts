import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { applyEdit } from './mutation.js';
import { MUTATIONS } from './mutations.js';
import { Workshop } from './workshop.js';

const ROOT = join(import.meta.dirname, '../..');

describe('the mutations', () => {
  test('are at least thirty, each with a name of its own', () => {
    const names = new Set(MUTATIONS.map((mutation) => mutation.name));
    expect(names.size).toBe(MUTATIONS.length);
    expect(names.size).toBeGreaterThanOrEqual(30);
  });

  test.each(MUTATIONS)('$name still fits the source, and has somebody to catch it', (mutation) => {
    expect(mutation.edits.length).toBeGreaterThan(0);
    for (const edit of mutation.edits) {
      const source = readFileSync(join(ROOT, edit.file), 'utf8');
      expect(applyEdit(source, edit)).not.toBe(source);
    }
    expect(mutation.rules.length + mutation.seedsMax).toBeGreaterThan(0);
    expect(mutation.rules.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });

  test('are all in the table of docs/mutants.md, and nothing else is', () => {
    const table = readFileSync(join(ROOT, 'docs/mutants.md'), 'utf8');
    const named = [...table.matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map((match) => match[1]);
    expect(named).toEqual(MUTATIONS.map((mutation) => mutation.name));
  });
});

describe('a mutation in a scratch copy', () => {
  test('makes its rule tests fail, which pass without it', async () => {
    const mutation = MUTATIONS.find(({ name }) => name === 'quorum-by-text-sort');
    const workshop = new Workshop(ROOT);
    try {
      const rules = ['run', 'test/raft/quorum.test.ts'];
      const sound = await workshop.run('vitest', rules, 100_000);
      expect(sound.code, sound.output).toBe(0);
      const broken = await workshop.with(mutation?.edits ?? [], () =>
        workshop.run('vitest', rules, 100_000),
      );
      expect(broken.code).not.toBe(0);
      expect(broken.output).toContain('quorum.test.ts');
    } finally {
      workshop.dispose();
    }
  });

  test('has all that the simulator needs', async () => {
    const workshop = new Workshop(ROOT);
    try {
      const hunt = await workshop.runCompiled('test/mutants/hunt.js', ['0', '1', '1'], 100_000);
      expect(hunt.code, hunt.output).toBe(0);
    } finally {
      workshop.dispose();
    }
  });
});
