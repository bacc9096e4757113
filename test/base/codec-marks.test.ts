import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** Whether the native part of msgpackr is there may differ between replicas: what is read must not. */

const CODEC = join(import.meta.dirname, '../../src/base/codec.ts');
const CODE = `
  const { pack, unpack } = await import(${JSON.stringify(CODEC)});
  const { isNativeAccelerationEnabled } = await import('msgpackr');
  const texts = [1, 15, 16, 63, 64, 65, 300, 70_000].flatMap((n) => [
    'x'.repeat(n), '\\ufeff' + 'x'.repeat(n), 'ä\\ufeff'.repeat(n), '\\ufeff'.repeat(n), '😀'.repeat(n),
  ]);
  const wrong = texts.filter((text) => unpack(pack([text, text]))[1] !== text);
  console.log(JSON.stringify([isNativeAccelerationEnabled, wrong.map((text) => text.length)]));
`;

test.each([
  ['without the native part', 'true'],
  ['with it, where it is there', ''],
])('texts come back as they were, marks at their beginning too: %s', (_, disabled) => {
  const out = execFileSync(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '--eval', CODE],
    {
      encoding: 'utf8',
      env: { ...process.env, MSGPACKR_NATIVE_ACCELERATION_DISABLED: disabled },
      cwd: join(import.meta.dirname, '../..'),
    },
  );
  const [isNative, wrong] = JSON.parse(out) as [boolean, number[]];
  if (disabled !== '') expect(isNative).toBe(false);
  expect(wrong).toEqual([]);
});
