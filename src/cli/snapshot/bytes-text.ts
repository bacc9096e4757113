const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `512 bytes`, `1.5 MiB`. */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `1.5 MiB/s`. */
export function byteRateText(bytes: number, elapsedMs: number): string {
  return `${bytesText(elapsedMs <= 0 ? 0 : Math.round((bytes * 1000) / elapsedMs))}/s`;
}
