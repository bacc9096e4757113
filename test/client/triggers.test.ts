import { describe, expect, test } from 'vitest';
import { type Body, WholeWorld } from './support/whole-world.js';

const A = '11'.repeat(32);
const B = '22'.repeat(32);

describe('a trigger', () => {
  const heard = (told: unknown[], works = () => true): Body => {
    return (_ctx, events: readonly { value: unknown }[]) => {
      if (!works()) throw new Error('not yet');
      told.push(...events.map(({ value }) => value));
    };
  };

  test('leaves nothing out when its code is rolled back and another replica leads', async () => {
    const whole = await WholeWorld.start(['n1', 'n2', 'n3']);
    const told: unknown[] = [];
    let works = false;
    const ship = heard(told, () => works);
    await whole.deploy({ ship: ['cp', ship, 'orders/'] }, A);
    await whole.run(1000);
    const db = await whole.connect();
    await whole.until(db.put('orders/1', '1'));
    await whole.run(200);
    await whole.deploy({ ship: ['cp', ship, 'orders/'] }, B);
    await whole.until(db.procedures.rollback('ship'));
    whole.world.leader?.crash();
    await whole.world.until(() => whole.world.leader !== null);
    works = true;
    await whole.run(5000);
    const again = await whole.connect();
    await whole.until(again.put('orders/2', '2'));
    await whole.run(5000);
    expect(told).toEqual([1, 2]);
  });

  test('is not told what was written before it was one', async () => {
    const whole = await WholeWorld.start();
    const told: unknown[] = [];
    await whole.deploy({ ship: ['cp', () => null] }, A);
    const db = await whole.connect();
    await whole.until(db.put('orders/1', '1'));
    await whole.deploy({ ship: ['cp', heard(told), 'orders/'] }, B);
    await whole.run(2000);
    await whole.until(db.put('orders/2', '2'));
    await whole.run(2000);
    expect(told).toEqual([2]);
  });

  test('on all keys is called with each write, and not with how far it has come', async () => {
    const whole = await WholeWorld.start();
    const told: unknown[] = [];
    await whole.deploy({ ship: ['cp', heard(told), ''] }, A);
    await whole.run(1000);
    const db = await whole.connect();
    await whole.until(db.put('orders/1', '1'));
    await whole.run(2000);
    expect(told).toEqual([1]);
    const { revision } = await whole.until(db.info());
    await whole.run(5000);
    expect(await whole.until(db.info())).toMatchObject({ revision });
    await whole.until(db.put('bills/2', '2'));
    await whole.run(1000);
    expect(told).toEqual([1, 2]);
  });
});
