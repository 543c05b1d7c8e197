/** Signals that ask a server to stop: the first in good order, the second at once. */
import { constants } from 'node:os';

/** Resolves with the first one; at the second the process ends. */
export function untilSignal(onSecond: (signal: NodeJS.Signals) => void = exitAtOnce): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let isAsked = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (isAsked) return onSecond(signal);
      isAsked = true;
      resolve(signal);
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
}

function exitAtOnce(signal: NodeJS.Signals): void {
  process.exit(128 + constants.signals[signal]);
}
