import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { freePorts } from '../../src/cluster/free-ports.js';
import { waitUntil } from '../../src/cluster/wait-until.js';

describe('waiting for a condition', () => {
  test('gives what was found as soon as something is', async () => {
    let looks = 0;
    const found = await waitUntil('a third look', async () => (++looks === 3 ? looks : undefined));

    expect(found).toBe(3);
  });

  test('ends at its bound with an error that names the condition', async () => {
    const waiting = waitUntil('a miracle', async () => undefined, { timeoutMs: 1, intervalMs: 1 });

    await expect(waiting).rejects.toMatchObject({ code: 'TIMEOUT', message: /a miracle/ });
  });

  test('ends when it is interrupted', async () => {
    const waiting = waitUntil('a miracle', async () => undefined, { signal: AbortSignal.abort() });

    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  test('hands on what the look throws', async () => {
    const waiting = waitUntil('a miracle', () => Promise.reject(new Error('broken')));

    await expect(waiting).rejects.toThrow('broken');
  });
});

describe('free ports', () => {
  test('are different, can be listened on, and are not those of outgoing connections', async () => {
    const ports = await freePorts(5);

    expect(new Set(ports).size).toBe(5);
    for (const port of ports) {
      expect(port).toBeLessThan(32_768);
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
      await new Promise((resolve) => server.close(resolve));
    }
  });
});
