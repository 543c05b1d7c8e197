/** Ends this process once its parent is gone, also while its main thread spins. */
import { workerData } from 'node:worker_threads';

const checkMs = 500;

setInterval(() => {
  if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL');
}, checkMs);
