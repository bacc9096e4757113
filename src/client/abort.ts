type Callback = () => void;

interface Watch {
  readonly callbacks: Set<Callback>;
  readonly listener: Callback;
}

/** Who waits for a signal: one listener for all, removed with the last of them. */
const watches = new WeakMap<AbortSignal, Watch>();

/**
 * Calls `callback` when `signal` is aborted; returns what ends that. Unlike a listener for each call
 * it does not run into the bound at which Node warns of a leak.
 */
export function whenAborted(signal: AbortSignal, callback: Callback): Callback {
  const watch = watches.get(signal) ?? listenTo(signal);
  watch.callbacks.add(callback);
  return () => {
    if (!watch.callbacks.delete(callback) || watch.callbacks.size > 0) return;
    watches.delete(signal);
    signal.removeEventListener('abort', watch.listener);
  };
}

function listenTo(signal: AbortSignal): Watch {
  const callbacks = new Set<Callback>();
  const listener = (): void => {
    for (const callback of [...callbacks]) callback();
  };
  const watch = { callbacks, listener };
  watches.set(signal, watch);
  signal.addEventListener('abort', listener, { once: true });
  return watch;
}
