"""Builds the container image and tries it: `bin/image`, and the tests marked `image_tests`.

`engines` builds and runs with Docker or buildah, `stand_in` makes a base image where Airbyte's is
out of reach, `pip_settings` lets the build reach packages as this machine does, `listing` tells
what is in an image, `trials` runs Airbyte's commands in it.
"""
