/**
 * Loads the reflection that the X.509 library's dependency injection wants before it. In a module of its
 * own, because a bundle runs the CommonJS imports of a module after its other ones.
 */

import "reflect-metadata";
