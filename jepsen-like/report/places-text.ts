import { FAILPOINTS } from '../../src/cluster/harness.js';

/**
 * At which named places replicas have killed themselves, and how often.
 * @param injected what was counted, by name
 * @returns `null`: none was to
 */
export function placesText(injected: Readonly<Record<string, number>>): string | null {
  const isAsked = FAILPOINTS.some(
    (name) => `failpoint ${name}` in injected || `failpoint ${name}: not passed` in injected,
  );
  if (!isAsked) return null;
  const kills = FAILPOINTS.map((name) => injected[`failpoint ${name}`] ?? 0);
  const least = Math.min(...kills);
  const often = `killed ${kills.reduce((a, b) => a + b, 0)} times at named places, at each of the ${FAILPOINTS.length} at least ${least} times`;
  const seldom = FAILPOINTS.filter((_, at) => kills[at] === least);
  return seldom.length === FAILPOINTS.length ? often : `${often}: ${seldom.join(', ')}`;
}
