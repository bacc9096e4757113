import { describe, expect, test } from 'vitest';
import { Teller } from '../../../src/cli/demo/teller.js';

function screen(isTTY: boolean) {
  const written: string[] = [];
  return { isTTY, columns: 0, written, write: (text: string) => written.push(text) };
}

describe('the teller', () => {
  test('writes lines only, when the bars are not on a terminal', () => {
    const lines = screen(false);
    const bars = screen(false);
    const teller = new Teller(lines, bars);

    const bar = teller.startBar('load', 2);
    bar.step();
    teller.say('half');
    bar.step();
    bar.end();

    expect(lines.written).toEqual(['half\n']);
    expect(bars.written).toEqual([]);
  });

  test('wipes a bar before it writes a line and when the bar ends', () => {
    const lines = screen(true);
    const bars = screen(true);
    const teller = new Teller(lines, bars);

    teller.startBar('writes', 2).step();
    teller.say('half');

    expect(bars.written).toHaveLength(2);
    expect(bars.written[0]).toMatch(/50%.* 1 writes/);
    expect(bars.written[1]).toBe('\r\x1b[K');
  });
});
