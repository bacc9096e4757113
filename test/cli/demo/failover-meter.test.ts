import { describe, expect, test } from 'vitest';
import { FailoverMeter } from '../../../src/cli/demo/failover-meter.js';

describe('the failover meter', () => {
  test('counts from the kill to the first write that a leader of a later term acknowledged', () => {
    const meter = new FailoverMeter();
    meter.acknowledged(100, 4);
    meter.killed(110, 4);
    // An answer that the killed leader had sent.
    meter.acknowledged(115, 4);
    meter.acknowledged(915, 6);
    meter.acknowledged(916, 6);

    expect(meter.failoverMs).toBe(805);
    expect(meter.standstillMs).toBe(800);
    expect(meter.acknowledgedAfter).toBe(2);
  });

  test('leaves gaps before the kill and after the failover out of the standstill', () => {
    const meter = new FailoverMeter();
    meter.acknowledged(0, 1);
    meter.acknowledged(5000, 1);
    meter.killed(5001, 1);
    meter.acknowledged(5100, 2);
    meter.acknowledged(9000, 2);

    expect(meter.standstillMs).toBe(100);
  });

  test('knows no failover before a new leader has acknowledged anything', () => {
    const meter = new FailoverMeter();
    meter.acknowledged(0, 1);
    meter.killed(1, 1);
    meter.acknowledged(2, 1);

    expect(meter.failoverMs).toBeNull();
    expect(meter.acknowledgedAfter).toBe(0);
    expect(meter.idleMs(10)).toBe(8);
  });
});
