import { resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { LIMITS } from '../../src/base/limits.js';
import {
  FIXED_LIMITS,
  isBoundedLimit,
  LIMIT_BOUNDS,
  LIMIT_NAMES,
  limitProblems,
} from '../../src/server/config-limits.js';
import { type ConfigSources, loadConfig } from '../../src/server/load-config.js';

const MEMBERS = 'n1=127.0.0.1:7001,n2=127.0.0.1:7002';
const ENOUGH = { name: 'n1', members: MEMBERS };

function load(sources: Partial<ConfigSources> & { readonly file?: unknown } = {}) {
  const { flags = ENOUGH, env = {}, file } = sources;
  const text = typeof file === 'string' ? file : JSON.stringify(file);
  const path = file === undefined ? {} : { config: 'balsa.json' };
  return loadConfig({ flags: { ...path, ...flags }, env, readFile: () => text });
}

/** The problems that loading reports, one a line. */
function problemsOf(sources: Parameters<typeof load>[0]): string[] {
  try {
    load(sources);
  } catch (error) {
    if (!(error instanceof BalsaError) || error.code !== 'CONFIG_INVALID') throw error;
    const problems = error.details.problems as { where: string; problem: string }[];
    for (const { where, problem } of problems)
      expect(error.message).toContain(`${where}: ${problem}`);
    return problems.map(({ where, problem }) => `${where}: ${problem}`);
  }
  return [];
}

describe('a replica that joins', () => {
  const join = { name: 'n4', join: 'true' };

  test('needs no members, only where others reach it', () => {
    const { config } = load({ flags: { ...join, advertise: 'h:1', listen: '0.0.0.0:1' } });
    expect(config).toMatchObject({ join: true, members: { n4: 'h:1' }, advertise: 'h:1' });
    expect(problemsOf({ flags: join })).toEqual([
      expect.stringMatching(/^--join: needs to know where others reach n4/),
    ]);
  });

  test('may name members that it is not one of', () => {
    const { config } = load({ flags: { ...join, members: MEMBERS, advertise: 'h:1' } });
    expect(Object.keys(config.members)).toEqual(['n1', 'n2', 'n4']);
    expect(problemsOf({ flags: { ...join, members: MEMBERS } })).toEqual([
      expect.stringMatching(/n4 is not one of the members/),
    ]);
  });

  test('takes yes and no in their usual forms, and nothing else', () => {
    for (const no of ['false', 'no', '0']) {
      expect(load({ flags: { ...ENOUGH, join: no } }).config.join).toBe(false);
    }
    expect(load({ flags: ENOUGH, env: { BALSA_RESEED: '1' } }).config.reseed).toBe(true);
    expect(problemsOf({ flags: { ...ENOUGH, join: 'perhaps' } })).toHaveLength(1);
    expect(problemsOf({ file: { join: 'true' } })).toHaveLength(1);
  });
});

describe('formats to pretend', () => {
  test('are for tests, which say so', () => {
    const flags = { ...ENOUGH, 'unsafe-formats': 'command=1' };
    expect(problemsOf({ flags })).toHaveLength(1);
    const env = { BALSA_UNSAFE_TESTING: '1' };
    expect(load({ flags, env }).config.unsafeFormats).toBe('command=1');
  });
});

describe('defaults and precedence', () => {
  test('name and members are enough', () => {
    expect(load().config).toEqual({
      name: 'n1',
      cluster: 'balsa',
      listen: '127.0.0.1:7001',
      advertise: '127.0.0.1:7001',
      routes: {},
      members: { n1: '127.0.0.1:7001', n2: '127.0.0.1:7002' },
      dataFolder: resolve('balsa-data/n1'),
      electionTimeoutMs: 750,
      heartbeatMs: 100,
      logLevel: 'info',
      limits: LIMITS,
      join: false,
      reseed: false,
      electionPriority: 100,
      leaseReads: false,
      diskStallMs: 3000,
      metricsListen: '',
      unsafeFormats: '',
      unsafeFailpoints: '',
      unsafeDisk: '',
    });
  });

  test.each([
    [50, 10],
    [200, 40],
    [499, 99],
    [750, 100],
    [60_000, 100],
  ])(
    'with an election timeout of %i ms there is a heartbeat every %i',
    (timeoutMs, heartbeatMs) => {
      const { config } = load({ file: { electionTimeoutMs: timeoutMs } });
      expect(config.heartbeatMs).toBe(heartbeatMs);
    },
  );

  test('a flag beats the environment, which beats the file, which beats the default', () => {
    const file = { cluster: 'file', logLevel: 'warn', heartbeatMs: 50, electionTimeoutMs: 300 };
    const env = { BALSA_CLUSTER: 'env', BALSA_HEARTBEAT: '60ms', BALSA_LOG_LEVEL: '' };
    const loaded = load({ file, env, flags: { ...ENOUGH, cluster: 'flag' } });
    expect(loaded.config).toMatchObject({
      cluster: 'flag',
      heartbeatMs: 60,
      logLevel: 'warn',
      electionTimeoutMs: 300,
    });
    const sources = Object.fromEntries(loaded.entries.map(({ field, source }) => [field, source]));
    expect(sources).toMatchObject({
      cluster: '--cluster',
      heartbeatMs: 'BALSA_HEARTBEAT',
      logLevel: 'balsa.json',
      listen: 'default',
      'limits.keyBytesMax': 'default',
    });
  });

  test('everything may come from the file, named by BALSA_CONFIG', () => {
    const file = { $schema: 'x', name: 'n1', members: { n1: '[::1]:7001' }, dataFolder: '/d' };
    const env = { BALSA_CONFIG: 'balsa.json' };
    const { config } = loadConfig({ flags: {}, env, readFile: () => JSON.stringify(file) });
    expect(config).toMatchObject({ name: 'n1', listen: '[::1]:7001', dataFolder: '/d' });
  });

  test('port 0 and wildcards are for listening', () => {
    const flags = { ...ENOUGH, listen: '[::]:0' };
    expect(load({ flags }).config.listen).toBe('[::]:0');
    expect(problemsOf({ flags: { ...ENOUGH, advertise: '0.0.0.0:7001' } })).toEqual([
      '--advertise: 0.0.0.0:7001 is told to others, who cannot connect to it; use it with --listen only',
    ]);
    expect(problemsOf({ flags: { name: 'n1', members: 'n1=[::]:0' } })).toEqual([
      '--members: n1: [::]:0 is told to others, so its port cannot be 0',
    ]);
  });
});

describe('routes', () => {
  test('say where to dial members, and nothing else', () => {
    const { config } = load({ flags: { ...ENOUGH, routes: 'n2=127.0.0.1:9,later=[::1]:8' } });
    expect(config.routes).toEqual({ n2: '127.0.0.1:9', later: '[::1]:8' });
    expect(config.members.n2).toBe('127.0.0.1:7002');
  });

  test('are refused when nobody could be dialled there', () => {
    expect(problemsOf({ flags: { ...ENOUGH, routes: 'n2=127.0.0.1:0' } })).toEqual([
      '--routes: n2: 127.0.0.1:0 cannot be dialled: port 0',
    ]);
    expect(problemsOf({ flags: { ...ENOUGH, routes: 'N2=h:1' } })).toHaveLength(1);
  });
});

describe('what is refused, with the source named', () => {
  test.each([
    [{ flags: {} }, '--name: is needed (or BALSA_NAME, or "name" in a --config file)'],
    [{ flags: { ...ENOUGH, name: 'N1' } }, '--name: must be 1 to 32 characters of a-z, 0-9 and -'],
    [{ flags: { ...ENOUGH, name: 'n3' } }, '--name: n3 is not one of the members n1, n2'],
    [{ flags: { ...ENOUGH, name: 'n' } }, '(did you mean n1?)'],
    [{ flags: { ...ENOUGH, members: 'n1' } }, '--members: must be like n1=host:port'],
    [{ flags: { ...ENOUGH, members: 'n1=a:1,n1=b:1' } }, '--members: names n1 twice'],
    [
      { flags: { ...ENOUGH, members: 'n1=a:1,n2=a:1' } },
      '--members.n2: has the same address as n1',
    ],
    [{ flags: { ...ENOUGH, members: 'n1=a:65536' } }, '--members.n1: "a:65536" has no port from 0'],
    [
      { flags: { ...ENOUGH, members: 'n1=::1:7001' } },
      'an IPv6 address needs brackets: [::1]:7001',
    ],
    [{ flags: { ...ENOUGH, members: 'n1=1.2.3.400:1' } }, '"1.2.3.400" is not a host name'],
    [{ env: { BALSA_LISTEN: 'nowhere' } }, 'BALSA_LISTEN: "nowhere" is not host:port'],
    [{ env: { BALSA_LOG_LEVEL: 'wran' } }, 'found "wran" (did you mean warn?)'],
    [
      { env: { BALSA_ELECTION_TIMEOUT: '750' } },
      'BALSA_ELECTION_TIMEOUT: must be a number and its',
    ],
    [{ env: { BALSA_ELECTION_TIMEOUT: '10ms' } }, 'from 50 to 60000, found 10'],
    [
      { env: { BALSA_HEARTBEAT: '251ms' } },
      'BALSA_HEARTBEAT: the heartbeat, 251 ms, must be at most',
    ],
    [
      { env: { BALSA_ELECTION_TIMEOUT: '200ms' }, file: { heartbeatMs: 100 } },
      'balsa.json: heartbeatMs: the heartbeat, 100 ms, must be at most',
    ],
    [
      { file: { heartbeatMs: '100ms' } },
      'balsa.json: heartbeatMs: must be a whole number of milli',
    ],
    [{ file: { electionTimeout: 5 } }, 'is not a known field (did you mean electionTimeoutMs?)'],
    [{ file: { data: '/d' } }, 'balsa.json: data: is not a known field (did you mean dataFolder?)'],
    [{ file: { 'log-level': 'info' } }, '(did you mean logLevel?)'],
    [{ file: { limit: {} } }, '(did you mean limits?)'],
    [{ file: { cluster: '' } }, 'balsa.json: cluster: must be 1 to 64 letters'],
    [{ file: { limits: 5 } }, 'balsa.json: limits: must be an object of limits'],
    [
      { file: { limits: { valueBytes: 5 } } },
      'limits.valueBytes: is not a known limit (did you mean',
    ],
    [
      { file: { limits: { keyBytesMax: 1 } } },
      'limits.keyBytesMax: must be a whole number from 16',
    ],
    [
      { file: { limits: { valueBytesMax: 2 ** 25 } } },
      'limits.batchBytesMax: must be at least keyB',
    ],
    [{ file: [] }, 'balsa.json: must hold one JSON object'],
    [{ file: '{\n "name": "n1",\n}' }, 'is not JSON: line 3, column 1: there is a comma before'],
    [
      { file: '{\n "name": n1\n}' },
      'balsa.json: is not JSON: line 2, column 10: a value is expected',
    ],
    [{ file: '\uFEFF{' }, 'balsa.json: is not JSON: line 1, column 2: '],
  ])('%j', (sources, expected) => {
    expect(problemsOf(sources).join('\n')).toContain(expected);
  });

  test('nine members at most, one at least', () => {
    const many = Array.from({ length: 10 }, (_, i) => `n${i}=h:${i + 1}`).join(',');
    expect(problemsOf({ flags: { name: 'n1', members: many } })).toEqual([
      '--members: must have 1 to 9 members, found 10',
    ]);
    expect(problemsOf({ flags: { name: 'n1' }, file: { members: {} } })).toEqual([
      'balsa.json: members: must have 1 to 9 members, found 0',
    ]);
  });

  test('all problems come at once', () => {
    const problems = problemsOf({
      flags: { name: 'N1', heartbeat: '1' },
      env: { BALSA_LISTEN: 'x' },
      file: { colour: 'red', limits: { keyBytesMax: 0 } },
    });
    expect(problems.map((problem) => problem.split(': ')[0])).toEqual([
      'balsa.json',
      '--name',
      'BALSA_LISTEN',
      '--heartbeat',
      'balsa.json',
      '--members',
    ]);
  });

  test('a field that is wrong in itself is not blamed for not fitting others', () => {
    const env = { BALSA_ELECTION_TIMEOUT: '10ms', BALSA_HEARTBEAT: '300ms' };
    expect(problemsOf({ env })).toEqual([
      'BALSA_ELECTION_TIMEOUT: must be a whole number of milliseconds from 50 to 60000, found 10',
    ]);
  });

  test('a file that cannot be read is FILE_UNREADABLE', () => {
    const flags = { ...ENOUGH, config: '/nowhere/balsa.json' };
    expect(() => loadConfig({ flags, env: {} })).toThrow(
      expect.objectContaining({ code: 'FILE_UNREADABLE' }),
    );
  });

  test('failpoints need BALSA_UNSAFE_TESTING=1', () => {
    const flags = { ...ENOUGH, 'unsafe-failpoints': 'wal.before-sync=exit@3' };
    expect(problemsOf({ flags })).toEqual([
      '--unsafe-failpoints: makes replicas fail; it needs BALSA_UNSAFE_TESTING=1',
    ]);
    const env = { BALSA_UNSAFE_TESTING: '1' };
    expect(load({ flags, env }).config.unsafeFailpoints).toBe('wal.before-sync=exit@3');
  });
});

describe('limits', () => {
  test('the defaults lie within their bounds and fit together', () => {
    for (const name of LIMIT_NAMES.filter(isBoundedLimit)) {
      expect(LIMITS[name], name).toBeGreaterThanOrEqual(LIMIT_BOUNDS[name].min);
      expect(LIMITS[name], name).toBeLessThanOrEqual(LIMIT_BOUNDS[name].max);
    }
    expect(limitProblems(LIMITS)).toEqual([]);
  });

  test('the largest of all, and the smallest of all, fit together', () => {
    const all = (end: 'min' | 'max') =>
      ({
        ...LIMITS,
        ...Object.fromEntries(
          LIMIT_NAMES.filter(isBoundedLimit).map((name) => [name, LIMIT_BOUNDS[name][end]]),
        ),
      }) as typeof LIMITS;
    expect(limitProblems(all('max'))).toEqual([]);
    expect(limitProblems(all('min'))).toEqual([]);
  });

  test.each([
    [{ snapshotChunkBytes: 4 << 20, snapshotBytesPerSecondMax: 1 << 20 }, 'a large chunk'],
    [{ snapshotBytesPerSecondMax: 64 << 10 }, 'a low rate'],
    [{ snapshotIdleMsMax: 100 }, 'little patience', 4 << 20],
    [{ snapshotsAtOnceMax: 64 }, 'many at once', 4 << 20],
    [{ valueBytesMax: 2000, snapshotBytesPerSecondMax: 64 << 10 }, 'a low rate and small values'],
  ])(
    '%o would let no snapshot arrive: %s',
    (limits, _why, rate = LIMITS.snapshotBytesPerSecondMax) => {
      const file = { limits: { snapshotBytesPerSecondMax: rate, ...limits } };
      expect(problemsOf({ file })).toEqual([
        expect.stringMatching(
          /limits\.snapshotBytesPerSecondMax: must be at least 2 \* snapshotsAtOnceMax \* \(snapshotChunkBytes \+ keyBytesMax \+ valueBytesMax\) in 3\/4 of snapshotIdleMsMax = \d+, found/,
        ),
      ]);
    },
  );

  test('what the log means depends on cannot be set, but may be said', () => {
    expect(problemsOf({ file: { limits: { leasesMax: 5 } } })).toEqual([
      expect.stringContaining(
        `limits.leasesMax: cannot be set: what the log means depends on it, so it is ${LIMITS.leasesMax} for all replicas`,
      ),
    ]);
    const said = Object.fromEntries(FIXED_LIMITS.map((name) => [name, LIMITS[name]]));
    expect(load({ file: { limits: said } }).config.limits).toEqual(LIMITS);
  });

  test('those of the file are taken, the others stay', () => {
    const loaded = load({ file: { limits: { valueBytesMax: 1000, walSegmentBytes: 1 << 20 } } });
    expect(loaded.config.limits).toEqual({
      ...LIMITS,
      valueBytesMax: 1000,
      walSegmentBytes: 1 << 20,
    });
    expect(loaded.entries.find(({ field }) => field === 'limits.valueBytesMax')).toEqual({
      field: 'limits.valueBytesMax',
      value: 1000,
      source: 'balsa.json',
    });
  });
});

test('whatever the file holds, the answer is a configuration or CONFIG_INVALID', () => {
  const names = ['name', 'members', 'limits', 'heartbeatMs', 'listen', 'dataFolder', '__proto__'];
  const field = fc.oneof(fc.constantFrom(...names), fc.string());
  const file = fc.dictionary(field, fc.jsonValue());
  fc.assert(
    fc.property(file, (content) => {
      problemsOf({ flags: {}, file: content });
    }),
  );
});
