import { describe, expect, test } from 'vitest';
import type { DeltaFrame } from '../../../src/rpc/delta-frames.js';
import { ApWorld, add, say } from './ap-world.js';

/** What a replica that is stopped has acknowledged for `ap` calls, and its disk alone has. */

const n = (by = 1) => ({ key: 'n', change: add(by) });

/** Until it ends, nothing that it has made gets to others; it hears them, and they hear it. */
function keepToItself(ap: ApWorld, place: number): () => void {
  ap.world.fateOfDeltas = (from: string, _to: string, { type }: DeltaFrame) =>
    from === `n${place}.1` && type === 'deltas' ? [] : [1];
  return () => {
    ap.world.fateOfDeltas = () => [1];
  };
}

function aFollower(ap: ApWorld): number {
  const { leader } = ap.world;
  return [1, 2, 3].find((place) => ap.machine(place) !== leader) ?? 0;
}

/** Its disk is lost: the others have what it acknowledged all the same. */
async function othersCountWithout(ap: ApWorld, place: number): Promise<void> {
  ap.machine(place).crash();
  ap.machine(place).loseDeltas();
  const others = [1, 2, 3].filter((other) => other !== place);
  await ap.world.until(() => others.every((other) => ap.merged(other, 'n') === 1));
}

describe('a replica that is about to stop', () => {
  test('has drained when another one has what it acknowledged, and not before: then its disk may be lost', async () => {
    const ap = await ApWorld.start();
    const place = aFollower(ap);
    const { replica } = ap.machine(place);
    const end = keepToItself(ap, place);
    expect(await ap.call(place, n())).toBe('1 pending');
    replica.refuseWrites();
    expect(replica.isDrained).toBe(false);
    await ap.world.run(1500);
    expect(replica.isDrained).toBe(false);
    end();
    await ap.world.until(() => replica.isDrained);
    await othersCountWithout(ap, place);
  });

  test('refuses calls, and answers those that wait for its disk', async () => {
    const ap = await ApWorld.start();
    ap.machine(2).diskMs = 500;
    const told = ap.begin(2, n());
    await ap.world.run(10);
    const { replica } = ap.machine(2);
    replica.refuseWrites();
    expect(await ap.call(2, n())).toBe('SHUTTING_DOWN not-applied');
    expect(replica.isDrained).toBe(false);
    await ap.world.until(() => replica.isDrained);
    expect(say(told.answer)).toBe('1 pending');
  });

  test('waits for whoever can be reached again just now', async () => {
    const ap = await ApWorld.start();
    const place = aFollower(ap);
    const { replica } = ap.machine(place);
    ap.world.isolate(`n${place}.1`);
    expect(await ap.call(place, n())).toBe('1 pending');
    await ap.world.run(3000);
    ap.world.heal();
    replica.refuseWrites();
    expect(replica.isDrained).toBe(false);
    await ap.world.until(() => replica.isDrained);
    await othersCountWithout(ap, place);
  });

  test('waits for nobody that it has not heard of lately, nor for others when there are none', async () => {
    const ap = await ApWorld.start();
    ap.world.isolate('n2.1');
    await ap.call(2, n());
    const { replica } = ap.machine(2);
    replica.refuseWrites();
    await ap.world.run(2500);
    expect(replica.isDrained).toBe(true);
    expect(ap.pending(2)).toBe(1);
    const alone = await ApWorld.start(1);
    alone.machine(1).diskMs = 50;
    await alone.call(1, n());
    alone.machine(1).replica.refuseWrites();
    expect(alone.machine(1).replica.isDrained).toBe(true);
  });
});
