import { executorSuite } from './executor.suite.ts';
import { inlineExecutor } from './inline.ts';

executorSuite('inline', inlineExecutor);
