"""smsr-run --serve: a page where one drops a picture and sees it upscaled, with its masks and times."""
