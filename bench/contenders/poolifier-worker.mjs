// @ts-check
import { workerData } from 'node:worker_threads';
import { ThreadWorker } from 'poolifier';
import { works } from '../works.mjs';

new ThreadWorker(/** @type {(input?: number) => number} */ (works[workerData.work]), { maxInactiveTime: 600_000 });
