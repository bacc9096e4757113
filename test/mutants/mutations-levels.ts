import type { Mutation } from './mutation.js';

/** What reads promise that do not ask for the latest, and what answers say of themselves. */
export const LEVEL_MUTATIONS: readonly Mutation[] = [
  {
    name: 'fresh-since-the-answer-came',
    bug: 'A state is called as fresh as if its index had been asked for when the answer came.',
    history: 'thesis, section 6.4.1: a lease counts from when the round was sent',
    edits: [
      {
        file: 'src/server/waiting-reads.ts',
        find: 'if (answer.ok) this.#onConfirmed(sinceMs, answer.index);',
        replace: 'if (answer.ok) this.#onConfirmed(this.#clock.monotonicMs(), answer.index);',
      },
    ],
    rules: ['test/server/read-levels.test.ts'],
    seedsMax: 30,
  },
  {
    name: 'bound-checked-when-asked',
    bug: 'A bounded read that was confirmed is served however long the process stood still since.',
    history: 'thesis, section 6.4.1: what is checked before a pause does not hold behind it',
    edits: [
      {
        file: 'src/server/read-levels.ts',
        find: 'return this.#within(boundMs) ? null : this.#tooOld(boundMs);',
        replace: 'return null;',
      },
    ],
    rules: ['test/server/read-levels.test.ts'],
    seedsMax: 30,
  },
  {
    name: 'fresh-before-apply',
    bug: 'A state is called fresh as soon as its index is confirmed, before it has come that far.',
    history: 'thesis, section 6.4',
    edits: [
      {
        file: 'src/server/freshness.ts',
        find: 'if (index <= appliedIndex) {\n      this.#freshMs = Math.max(this.#freshMs, askedMs);\n      return;',
        replace:
          'if (index <= appliedIndex + 1_000_000) {\n      this.#freshMs = Math.max(this.#freshMs, askedMs);\n      return;',
      },
    ],
    rules: ['test/server/freshness.test.ts'],
    seedsMax: 30,
  },
  {
    name: 'staleness-without-a-margin',
    bug: 'Staleness is counted as if the clock of the replica could not run too slow.',
    history: 'Spanner, section 3: a bound on time is one on drift, too',
    edits: [
      {
        file: 'src/server/freshness.ts',
        find: 'const CLOCK_DRIFT_MAX = 0.1;',
        replace: 'const CLOCK_DRIFT_MAX = 0;',
      },
    ],
    rules: ['test/server/freshness.test.ts'],
    seedsMax: 30,
  },
  {
    name: 'isolated-behind-a-pause',
    bug: 'A process that stood still says that nobody answers, and had asked nobody.',
    history: 'ours',
    edits: [
      {
        file: 'src/server/freshness.ts',
        find: "return this.#silentTicks > this.#electionTicks ? 'isolated' : 'unknown';",
        replace: "return this.#silentTicks >= 0 ? 'isolated' : 'unknown';",
      },
    ],
    rules: ['test/server/freshness.test.ts'],
    seedsMax: 30,
  },
  {
    name: 'majority-for-ever',
    bug: 'A replica that was confirmed once says that it has a majority for ever.',
    history: 'ours',
    edits: [
      {
        file: 'src/server/freshness.ts',
        find: 'if (nowMs - this.#confirmedMs <= this.#electionMs) return',
        replace: 'if (this.#confirmedMs > 0) return',
      },
    ],
    rules: ['test/server/freshness.test.ts'],
    seedsMax: 30,
  },
  {
    name: 'session-does-not-wait',
    bug: 'A read with a session token is served by a replica that has not come that far.',
    history: 'Terry et al., session guarantees (1994)',
    edits: [
      {
        file: 'src/server/read-levels.ts',
        find: 'if (this.#options.readableIndex() >= bound) done(null);',
        replace: 'if (this.#options.readableIndex() >= 0) done(null);',
      },
    ],
    rules: ['test/server/read-levels.test.ts'],
    seedsMax: 30,
  },
  {
    name: 'session-forgets-what-it-saw',
    bug: 'What a client saw in answers does not count for its session.',
    history: 'Terry et al., session guarantees (1994)',
    edits: [
      {
        file: 'src/client/engine.ts',
        find: '    seen.note(appliedIndex);\n',
        replace: '',
      },
    ],
    rules: ['test/client/consistency.test.ts'],
    seedsMax: 30,
  },
  {
    name: 'session-reads-go-with-the-first',
    bug: 'Session reads that travel together ask for what the first of them needs.',
    history: 'ours',
    edits: [
      {
        file: 'src/client/read-request.ts',
        find: 'this.#bound = calls.reduce((bound, { query }) => Math.max(bound, query.bound), 0);',
        replace: 'this.#bound = calls[0].query.bound;',
      },
    ],
    rules: ['test/client/consistency.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'pages-of-several-revisions',
    bug: 'The pages of a range are read each at the latest revision.',
    history: 'ours',
    edits: [
      {
        file: 'src/client/range.ts',
        find: "return { ...query, ...rest, revision, consistency: 'session', bound };",
        replace:
          "return { ...query, ...rest, consistency: 'session', bound: bound + 0 * revision };",
      },
    ],
    rules: ['test/client/consistency.test.ts', 'test/client/reads.test.ts'],
    seedsMax: 0,
  },
  {
    name: 'range-read-anew-with-the-old-meta',
    bug: 'A page that a compaction overtook is read anew, and its answer names the revision of before.',
    history: 'found here: seed 7000571',
    edits: [
      {
        file: 'src/server/client-connection.ts',
        find: 'meta = { ...replica.meta(), stalenessMs, side };',
        replace: 'meta = { ...meta, stalenessMs, side };',
      },
    ],
    rules: ['test/server/client-connection.test.ts'],
    seedsMax: 0,
  },
];
