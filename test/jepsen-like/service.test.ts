import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RunClock } from '../../jepsen-like/run/clock.js';
import { FaultLog } from '../../jepsen-like/run/fault-log.js';
import { lackOfService } from '../../jepsen-like/run/service.js';
import { BalsaError, type Client } from '../../src/client/client.js';

const refused = async (): Promise<never> => {
  throw new BalsaError('NO_QUORUM', 'nobody');
};

interface Fake {
  readonly put?: () => Promise<unknown>;
  readonly get?: () => Promise<unknown>;
}

function lack({ put, get }: Fake, aborted = false): Promise<string | null> {
  const db = {
    put: put ?? (async () => ({ revision: 7 })),
    get: get ?? (async () => ({ value: Buffer.from('1') })),
  };
  const signal = aborted ? AbortSignal.abort() : new AbortController().signal;
  const options = { key: 'k', value: '1', withinMs: 120, signal };
  return lackOfService(db as unknown as Client, options);
}

describe('a client that has lived through faults', () => {
  test('is served when its write and a read of it come through, also at the second try', async () => {
    expect(await lack({})).toBeNull();
    let tries = 0;
    const put = async () => {
      tries += 1;
      return tries < 2 ? refused() : { revision: 7 };
    };
    expect(await lack({ put })).toBeNull();
  });

  test('lacks a write or a read that is not served in time', async () => {
    expect(await lack({ put: refused })).toMatch(/^no write of k was served.*NO_QUORUM/);
    expect(await lack({ get: refused })).toMatch(/^no linearizable read of k was served/);
  });

  test('lacks what it has written, when something else is read', async () => {
    const get = async () => ({ value: Buffer.from('0') });
    expect(await lack({ get })).toBe('k was read as 0, and had been written as 1');
    expect(await lack({ get: async () => ({}) })).toContain('was read as undefined');
  });

  test('is asked no more when the run is interrupted', async () => {
    expect(await lack({ put: refused }, true)).toBeNull();
  });
});

describe('the faults of a run', () => {
  let folder: string;
  let faults: FaultLog;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'balsa-service-'));
    faults = new FaultLog(join(folder, 'faults.jsonl'), new RunClock());
  });

  afterEach(() => {
    faults.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test('tell how long no write was served behind the begin and the end of each', () => {
    const { end } = faults.begin('kill-all', ['n1']);
    // One that was asked for before tells nothing.
    faults.served(0, Number.MAX_SAFE_INTEGER);
    expect([faults.outages, faults.recoveries]).toEqual([[], []]);
    faults.served(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    expect([faults.outages, faults.recoveries]).toMatchObject([[{ fault: 'kill-all' }], []]);
    end();
    faults.served(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    expect(faults.recoveries).toMatchObject([{ fault: 'kill-all' }]);
    expect(faults.outages).toHaveLength(1);
  });

  test('have marks in their file that are no faults', () => {
    const end = faults.mark('data-lost', ['n1']);
    end();
    const lines = readFileSync(join(folder, 'faults.jsonl'), 'utf8').trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { fault: 'data-lost', nodes: ['n1'], phase: 'begin' },
      { fault: 'data-lost', nodes: ['n1'], phase: 'end' },
    ]);
    expect([faults.intervals, [...faults.active]]).toEqual([[], []]);
  });
});
