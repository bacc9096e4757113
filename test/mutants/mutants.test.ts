import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Baseline } from './baseline.js';
import { applyEdit, type Mutation } from './mutation.js';
import { MUTATIONS } from './mutations.js';
import { checkRules, examine, type Verdict } from './verdict.js';
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

  test('are all in the table of docs/mutants.md, as they are here, and nothing else is', () => {
    const rows = readFileSync(join(ROOT, 'docs/mutants.md'), 'utf8').match(/^\| `.*$/gm) ?? [];
    const cells = rows.map((row) => row.split(/(?<!\\)\|/).map((cell) => cell.trim()));
    const told = cells.map(([, name, bug, history, rule, simulator]) => ({
      name: name?.replaceAll('`', ''),
      bug: bug?.replaceAll('\\|', '|'),
      history: history?.replaceAll('\\|', '|'),
      hasRule: rule !== '-',
      isAsked: simulator !== 'not asked',
    }));
    const known = MUTATIONS.map(({ name, bug, history, rules, seedsMax }) => ({
      ...{ name, bug, history, hasRule: rules.length > 0, isAsked: seedsMax > 0 },
    }));
    expect(told).toEqual(known);
  });
});

describe('a mutation in a scratch copy', () => {
  let workshop: Workshop;
  beforeAll(() => {
    workshop = new Workshop(ROOT);
  });
  afterAll(() => workshop.dispose());

  test('makes its rule tests fail, which pass without it', async () => {
    const mutation = MUTATIONS.find(({ name }) => name === 'quorum-by-text-sort') as Mutation;
    const rules = ['test/raft/quorum.test.ts'];
    await expect(checkRules(workshop, [{ ...mutation, rules }])).resolves.toBeUndefined();
    const broken = await workshop.with(mutation.edits, () => workshop.test(rules, 100_000));
    expect(broken.code).not.toBe(0);
    expect(broken.output).toContain('quorum.test.ts');
  });

  test('that cannot be loaded is not caught by that', async () => {
    const edits = [{ file: 'src/raft/quorum.ts', find: 'import type', replace: 'imports type' }];
    const rules = ['test/raft/quorum.test.ts'];
    const mutation = { name: 'broken', bug: '', history: '', edits, rules, seedsMax: 0 };
    const baseline = new Baseline(() => workshop);
    await expect(examine(workshop, mutation, baseline)).rejects.toThrow(
      'the rule tests fail, but no test',
    );
    await workshop.with(edits, () =>
      expect(checkRules(workshop, [mutation])).rejects.toThrow('fail without a mutation'),
    );
  });

  test('is in the thread that runs procedures, too', async () => {
    const only = 'is not asked for again, nor what it has written';
    const files = ['test/compute/groups.test.ts'];
    const { code, output } = await workshop.test(files, 100_000, only);
    expect(code, output).toBe(0);
    expect(output).toMatch(/Tests +1 passed/);
  });

  test('is not caught by a seed at which the simulator finds something without it', async () => {
    const mutation = { name: 'm', bug: '', history: '', edits: [], rules: [], seedsMax: 9 };
    const verdictAt = (seed: number): Promise<Verdict> => {
      const found = { code: 1, output: `found at seed ${seed}, run 2: it is so`, timedOut: false };
      const broken = {
        with: (_: unknown, work: () => unknown) => work(),
        runCompiled: () => found,
      };
      return examine(broken as unknown as Workshop, mutation, baseline);
    };
    const asked: string[] = [];
    const baseline = new Baseline(() => ({
      compile: async () => {
        asked.push('compile');
      },
      run: async (_, [, seed = '']) => {
        asked.push(seed);
        const code = seed === '7' ? 1 : 0;
        return { code, output: 'found at seed 7, run 1: always so', timedOut: false };
      },
      dispose: () => {},
    }));
    expect(await verdictAt(3)).toMatchObject({ caught: true, simulator: 'simulator: it is so' });
    await expect(verdictAt(7)).rejects.toThrow(
      'seed 7 is violated without a mutation, too, so it catches none: found at seed 7',
    );
    await expect(verdictAt(7)).rejects.toThrow('it catches none');
    expect(asked).toEqual(['compile', '3', '7']);
  });

  test('has all that the simulator needs', async () => {
    const hunt = await workshop.runCompiled('test/mutants/hunt.js', ['0', '1', '1'], 100_000);
    expect(hunt.code, hunt.output).toBe(0);
  });
});
