/**
 * Whoever closes our pipe (`| head`) wanted no more: a command ends without a word. A server goes on, since it is there for
 * others than the reader of its log (journald, when it is restarted).
 */
import { constants } from 'node:os';

const pipeClosedCode = 128 + constants.signals.SIGPIPE;

let isServer = false;

export function watchPipes(): void {
  const onError = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
    if (!isServer) process.exit(pipeClosedCode);
  };
  process.stdout.on('error', onError);
  process.stderr.on('error', onError);
}

export function outlivePipes(): void {
  isServer = true;
}
