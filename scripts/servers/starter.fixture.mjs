// @ts-check
/** Starts a server and is killed. It says `{ pids, folder }` first. */
import { startPostgres } from './postgres.mjs';

const server = await startPostgres();
if (process.argv[2] === 'paused') await server.pause();
process.stdout.write(`${JSON.stringify({ pids: server.pids, folder: server.folder })}\n`);
setInterval(() => {}, 1_000);
