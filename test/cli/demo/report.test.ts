import { describe, expect, test } from 'vitest';
import {
  countFindings,
  type DemoReport,
  formatPairs,
  formatReport,
  statesEqual,
} from '../../../src/cli/demo/report.js';

const LINE = {
  replica: 'n1',
  address: '127.0.0.1:1',
  role: 'leader',
  term: 2,
  commitIndex: 9,
  appliedIndex: 9,
  revision: 7,
  stateHash: 'abc',
};

const REPORT: DemoReport = {
  verdict: 'passed',
  seed: 1,
  keys: 3,
  rounds: 2,
  acknowledged: 20_123,
  unknown: 0,
  notApplied: 0,
  lost: 0,
  duplicated: 0,
  different: 0,
  statesEqual: true,
  killed: 'n1',
  newLeader: 'n2',
  failoverMs: 812.4,
  standstillMs: 800,
  catchUpMs: 120,
  putsPerSecond: 5000,
  versionsRead: 60_000,
  replicas: [LINE, { ...LINE, replica: 'n2', role: 'follower' }],
  findings: [],
};

describe('the report of the demo', () => {
  test('names the figures, the replicas and the verdict', () => {
    const text = formatReport(REPORT);

    expect(text).toMatch(/writes acknowledged +20,123/);
    expect(text).toMatch(/failover +812 ms/);
    expect(text).toMatch(/n2 +127\.0\.0\.1:1 +follower/);
    expect(text).toContain('PASSED: n1 was killed');
  });

  test('of a failure shows what was found, where, and how much more there is', () => {
    const findings = Array.from({ length: 12 }, (_, i) => ({
      type: 'lost' as const,
      key: `k${i}`,
      detail: 'round 1',
      replica: 'n3',
    }));

    const text = formatReport({ ...REPORT, verdict: 'failed', lost: 12, findings });

    expect(text).toContain('lost: k0: round 1 (n3)');
    expect(text).toContain('… and 2 more');
    expect(text).toContain('FAILED: 12 lost');
  });

  test('counts once what is wrong on several replicas', () => {
    const lost = { type: 'lost' as const, key: 'k', detail: 'round 1' };
    const findings = ['n1', 'n2', 'n3'].map((replica) => ({ ...lost, replica }));

    expect(countFindings(findings, 'lost')).toBe(1);
  });

  test.each([
    ['a state hash', { stateHash: 'abd' }],
    ['an applied index', { appliedIndex: 8 }],
  ])('calls states unequal that differ in %s', (_what, change) => {
    expect(statesEqual([LINE, { ...LINE, ...change }])).toBe(false);
    expect(statesEqual([LINE, LINE])).toBe(true);
    expect(statesEqual([])).toBe(false);
  });

  test('aligns its columns', () => {
    expect(
      formatPairs([
        ['a', 'b'],
        ['ccc', 'd'],
      ]),
    ).toBe('  a    b\n  ccc  d');
  });
});
