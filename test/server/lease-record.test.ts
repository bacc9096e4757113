import { expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { LeaseRecord, leaseMsOf } from '../../src/server/lease-record.js';
import { ManualWorld } from '../storage/manual-world.js';

function record(recordedMs: number, leaseMs: number) {
  const clock = new ManualWorld();
  const written: number[] = [];
  const failures: string[] = [];
  let error: BalsaError | null = null;
  const lease = new LeaseRecord({
    ...{ recordedMs, leaseMs, clock },
    write: (ms) => {
      if (error !== null) throw error;
      written.push(ms);
    },
    onFailure: ({ code }) => failures.push(code),
  });
  const breakDisk = () => {
    error = new BalsaError('DISK_FULL', 'full');
  };
  return { clock, written, failures, lease, breakDisk };
}

test('a lease is shorter than the election timeout, and there is none unless asked for', () => {
  expect(leaseMsOf({ leaseReads: true, electionTimeoutMs: 1000 })).toBe(900);
  expect(leaseMsOf({ leaseReads: false, electionTimeoutMs: 1000 })).toBe(0);
});

test('a longer lease is on disk before anything is promised', () => {
  const { written, lease, clock } = record(0, 900);
  expect(written).toEqual([900]);
  expect(lease.beforeMs).toBe(0);
  clock.pass(10_000);
  expect(written).toEqual([900]);
});

test('a shorter one is written only when what the former start promised is over', () => {
  const { written, lease, clock } = record(900, 90);
  expect(lease.beforeMs).toBe(900);
  clock.pass(900);
  expect(written).toEqual([]);
  clock.pass(900);
  expect(written).toEqual([90]);
});

test('one that is turned off is remembered, too', () => {
  const { written, lease, clock } = record(900, 0);
  expect([lease.beforeMs, written]).toEqual([900, []]);
  clock.pass(1800);
  expect(written).toEqual([0]);
});

test('one that stops meanwhile leaves the longer one on disk', () => {
  const { written, lease, clock } = record(900, 90);
  lease.stop();
  clock.pass(5000);
  expect(written).toEqual([]);
});

test('a disk that fails is told, and leaves the longer one', () => {
  const { written, failures, clock, breakDisk } = record(900, 90);
  breakDisk();
  clock.pass(5000);
  expect([written, failures]).toEqual([[], ['DISK_FULL']]);
});
