import type { Distribution, Scenario } from './scenario.js';

/** Ten digits, so that all keys are of one length. */
export function keyOf(i: number): string {
  return `key-${String(i).padStart(10, '0')}`;
}

/** The skew of YCSB. */
const SKEW = 0.99;
/** Primes. One that is no factor of the count of keys takes each of them once: neighbours in popularity are none in the key space. */
const STEPS = [7919, 7907];

/** Numbers of keys, by the dice of `random`. */
export function keyChooser(
  { distribution, keys }: Pick<Scenario, 'distribution' | 'keys'>,
  random: () => number = Math.random,
): () => number {
  const choose: Record<Distribution, () => () => number> = {
    uniform: () => () => Math.floor(random() * keys),
    zipfian: () => zipfian(keys, random),
  };
  return choose[distribution]();
}

/**
 * The i-th most popular key is asked for in proportion to 1 / i^0.99: Gray et al., "Quickly Generating
 * Billion-Record Synthetic Databases" (SIGMOD 1994), section 3.2, as YCSB uses it.
 */
function zipfian(count: number, random: () => number): () => number {
  let zeta = 0;
  for (let i = 1; i <= count; i += 1) zeta += 1 / i ** SKEW;
  const zetaOfTwo = 1 + 0.5 ** SKEW;
  const alpha = 1 / (1 - SKEW);
  const eta = (1 - (2 / count) ** (1 - SKEW)) / (1 - zetaOfTwo / zeta);
  const rank = (): number => {
    const u = random();
    if (u * zeta < 1) return 0;
    if (u * zeta < zetaOfTwo) return 1;
    return Math.min(count - 1, Math.floor(count * (eta * u - eta + 1) ** alpha));
  };
  const step = STEPS.find((prime) => count % prime !== 0) ?? 1;
  return () => (rank() * step) % count;
}
