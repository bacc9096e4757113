/** Durations as people write them: `500ms`, `5s`, `1.5m`, `2h`. */

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

export const DURATION_FORM = 'a number and its unit, like 500ms, 5s or 2m';

/** Milliseconds, or `null` when `text` is not a duration. `0` needs no unit. */
export function parseDurationMs(text: string): number | null {
  if (text === '0') return 0;
  const match = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)$/.exec(text.trim());
  const unitMs = UNIT_MS[match?.[2] ?? ''];
  if (match === null || unitMs === undefined) return null;
  return Number(match[1]) * unitMs;
}

/** Short text for people, two units at most: `850ms`, `3.2s`, `4m 10s`, `2d 3h`. */
export function formatDuration(durationMs: number): string {
  const ms = Math.max(0, Math.round(durationMs));
  if (ms < 1000) return `${ms}ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1).replace(/\.0$/, '')}s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return twoUnits(seconds, 60, 'm', 's');
  const minutes = Math.round(ms / 60_000);
  if (minutes < 1440) return twoUnits(minutes, 60, 'h', 'm');
  return twoUnits(Math.round(ms / 3_600_000), 24, 'd', 'h');
}

function twoUnits(count: number, per: number, large: string, small: string): string {
  const rest = count % per;
  return `${Math.floor(count / per)}${large}${rest === 0 ? '' : ` ${rest}${small}`}`;
}
