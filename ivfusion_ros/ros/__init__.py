"""The ROS 2 face: the only files that import rclpy or message packages."""
