"""A plugin that needs what nobody has; it must be a visible row, never a smaller list."""

import a_package_that_nobody_has  # noqa: F401
