// @ts-check
import { task } from 'shoal';
import { noop, spin, wait } from './works.mjs';

/** @type {Record<string, import('shoal').Task<number, number>>} */
export const tasks = { noop: task('bench.noop', noop), spin: task('bench.spin', spin), wait: task('bench.wait', wait) };
