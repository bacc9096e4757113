import { expect } from 'vitest';
import { text } from '../../../src/client/codec.js';
import { Harness } from './harness.js';
import { WatchScript } from './watch-script.js';

/** A client, and the replicas' side of its watches. */
export async function connected() {
  const h = new Harness();
  const script = new WatchScript(h);
  const db = await h.connect({ codec: text });
  const asked = async (count: number): Promise<void> => {
    for (let ms = 0; ms < 20_000 && script.asked.length < count; ms += 1) await h.clock.advance(1);
    expect(script.asked.length).toBe(count);
  };
  const settle = (): Promise<void> => h.clock.advance(10);
  return { h, db, script, asked, settle };
}
