import { expect, test } from 'vitest';
import { closeAll } from '../../src/storage/close-all.js';

test('all are closed in order, whatever becomes of the others, and the first failure is told', async () => {
  const closed: string[] = [];
  const close = (name: string, fails: boolean) => async (): Promise<void> => {
    closed.push(name);
    if (fails) throw new Error(`${name} fails`);
  };
  await closeAll(close('a', false), () => undefined);
  const failing = closeAll(
    close('b', true),
    () => {
      throw new Error('at once');
    },
    close('c', true),
    close('d', false),
  );
  await expect(failing).rejects.toThrow('b fails');
  expect(closed).toEqual(['a', 'b', 'c', 'd']);
});
