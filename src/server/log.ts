import { type Logger, pino } from 'pino';

/**
 * Logs are JSON lines on standard output, written in the background: a slow terminal or pipe never
 * holds up a write. Fields: `replica`, and the names of the status (`term`, `commitIndex`, …).
 */
export function createLogger(options: { level: string; replica: string }): Logger {
  return pino(
    {
      level: options.level,
      base: { replica: options.replica },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    pino.destination({ dest: 1, sync: false }),
  );
}

export type { Logger };
